"""Reading Wavefront files: OBJ to triangles, MTL to materials."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np


class ModelError(Exception):
    """A model cannot be used; the text is the reason, the same for all alike."""


@dataclass(frozen=True)
class Material:
    """A material: sRGB colours in 0..1, ``opacity`` 0..1, file names of textures or none."""

    name: str = ""
    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    specular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shininess: float = 20.0
    opacity: float = 1.0
    texture: str | None = None
    mask: str | None = None
    mirror: bool = False


@dataclass(frozen=True)
class Triangles:
    """What an OBJ file holds.

    ``positions`` (v, 3), ``uvs`` (t, 2) and ``normals`` (n, 3) are float64; ``corners``
    (m, 3, 3) int32 holds for each triangle's corners the rows in these three, -1 for none;
    ``material`` (m,) int32 is the row in ``names``; ``libraries`` are the MTL files.
    """

    positions: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray
    corners: np.ndarray
    material: np.ndarray
    names: list[str]
    libraries: list[str]


@dataclass
class Faces:
    """Polygons while a file is read: their corners in a row, and each one's size and material."""

    tokens: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    material: list[int] = field(default_factory=list)


def parse_obj(data: bytes) -> Triangles:
    """Read an OBJ file; polygons become triangles."""
    rows: dict[bytes, list[bytes]] = {b"v": [], b"vt": [], b"vn": []}
    faces = Faces()
    names: dict[str, int] = {}
    libraries: list[str] = []
    current = -1
    for line in data.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        key, _, rest = line.lstrip().partition(b" ")
        if key in rows:
            rows[key].append(rest)
        elif key == b"f":
            corners = rest.partition(b"#")[0].split()
            if len(corners) < 3:
                continue
            if b"-" in rest:
                counts = [len(rows[k]) for k in (b"v", b"vt", b"vn")]
                corners = [absolute(corner, counts) for corner in corners]
            faces.tokens += corners
            faces.sizes.append(len(corners))
            faces.material.append(current)
        elif key == b"usemtl":
            current = names.setdefault(rest.strip().decode("latin-1"), len(names))
        elif key == b"mtllib":
            libraries.append(rest.strip().decode("latin-1"))
    if not faces.sizes:
        raise ModelError("no faces")
    positions = numbers(rows[b"v"], 3)
    polygons = indices(faces.tokens) - 1
    for column, count in enumerate((len(positions), len(rows[b"vt"]), len(rows[b"vn"]))):
        if polygons[:, column].max() >= count:
            raise ModelError("a face names a vertex that is not there")
    if polygons[:, 0].min() < 0:
        raise ModelError("a face without a vertex")
    sizes = np.array(faces.sizes)
    corners, owner = triangulate(positions, polygons, sizes)
    return Triangles(
        positions,
        numbers(rows[b"vt"], 2),
        numbers(rows[b"vn"], 3),
        corners,
        np.array(faces.material, np.int32)[owner],
        list(names),
        libraries,
    )


def absolute(corner: bytes, counts: list[int]) -> bytes:
    """A corner whose negative numbers, counted from the end, are replaced."""
    parts = [int(p) if p else 0 for p in corner.split(b"/")]
    fixed = [p if p >= 0 else n + 1 + p for p, n in zip(parts, counts, strict=False)]
    return b"/".join(b"%d" % p if p else b"" for p in fixed)


def numbers(rows: list[bytes], width: int) -> np.ndarray:
    """The first ``width`` numbers of each row, (rows, width)."""
    if not rows:
        return np.empty((0, width))
    try:
        table = np.array(b" ".join(rows).split(), dtype="S").astype(np.float64)
        if len(table) % len(rows) or len(table) < width * len(rows):
            raise ValueError
        table = table.reshape(len(rows), -1)[:, :width]
    except ValueError:  # rows of several lengths
        try:
            table = np.array([(row.split() + [b"0"] * width)[:width] for row in rows], dtype="S")
            table = table.astype(np.float64)
        except ValueError:
            raise ModelError("a coordinate is no number") from None
    return np.nan_to_num(table, posinf=0, neginf=0)


def indices(tokens: list[bytes]) -> np.ndarray:
    """Corners such as ``3/1/2`` as rows of three numbers; 0 stands for none."""
    slashes = np.char.count(np.array(tokens, dtype="S"), b"/")
    try:
        if slashes.max() == 0:
            table = np.array(tokens, dtype="S").astype(np.int32)[:, None]
        elif slashes.min() == slashes.max() == 1:
            table = np.array(b"/".join(tokens).split(b"/")).astype(np.int32).reshape(-1, 2)
        else:
            raise ValueError
    except ValueError:
        split = [[p or b"0" for p in (*t.split(b"/"), b"", b"")][:3] for t in tokens]
        try:
            table = np.array(split).astype(np.int32)
        except ValueError:
            raise ModelError("a face cannot be read") from None
    return np.pad(table, ((0, 0), (0, 3 - table.shape[1])))


def triangulate(
    positions: np.ndarray, polygons: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Polygons, their corners in a row, as triangles (m, 3, 3), and the polygon of each (m,)."""
    first = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(sizes)), sizes - 2)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(sizes - 2) - (sizes - 2), sizes - 2)
    at = np.stack([first[owner], first[owner] + step + 1, first[owner] + step + 2], 1)
    xyz = positions[polygons[:, 0]]
    fans = cross(xyz[at])
    whole = np.zeros((len(sizes), 3))
    np.add.at(whole, owner, fans)
    bent = np.zeros(len(sizes), bool)
    bent[owner[(fans * whole[owner]).sum(1) < 0]] = True  # a fan that folds back: concave
    for face in np.nonzero(bent)[0]:
        clipped = clip_ears(xyz[first[face] : first[face] + sizes[face]], whole[face])
        at[owner == face] = np.array(clipped) + first[face]
    return polygons[at], owner


def cross(triangles: np.ndarray) -> np.ndarray:
    """The normals of triangles (m, 3, 3), each as long as twice the triangle's area."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    return np.cross(b - a, c - a)


def clip_ears(xyz: np.ndarray, normal: np.ndarray) -> list[tuple[int, int, int]]:
    """Cut a concave polygon into triangles that lie inside it."""
    axis = int(np.abs(normal).argmax())
    flat = np.delete(xyz, axis, 1)
    sign = np.sign(normal[axis]) * (-1 if axis == 1 else 1)
    left = list(range(len(xyz)))
    triangles = []

    def turn(a: int, b: int, c: int) -> float:
        (ax, ay), (bx, by), (cx, cy) = flat[a], flat[b], flat[c]
        return float(sign * ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)))

    def is_ear(k: int) -> bool:
        a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
        if turn(a, b, c) <= 0:
            return False
        others = (p for p in left if p not in (a, b, c))
        return not any(
            turn(a, b, p) > 0 and turn(b, c, p) > 0 and turn(c, a, p) > 0 for p in others
        )

    while len(left) > 3:
        k = next((k for k in range(len(left)) if is_ear(k)), 1)
        triangles.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return [*triangles, (left[0], left[1], left[2])]


def parse_mtl(text: str) -> dict[str, Material]:
    """The materials of an MTL file by name; what cannot be read keeps its default."""
    materials: dict[str, Material] = {}
    current: Material | None = None
    for line in text.splitlines():
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        key, rest = key.lower(), rest.strip()
        if key == "newmtl":
            current = Material(name=rest)
        elif current is not None:
            try:
                current = changed(current, key, rest)
            except (ValueError, IndexError):
                continue
        if current is not None:
            materials[current.name] = current
    return materials


def changed(material: Material, key: str, rest: str) -> Material:
    """A material after one more line of its description."""
    if key in ("kd", "ks"):
        rgb = [min(max(float(x), 0.0), 1.0) for x in rest.split()[:3]]
        r, g, b = rgb if len(rgb) == 3 else rgb[:1] * 3
        return replace(material, **{"colour" if key == "kd" else "specular": (r, g, b)})
    if key == "ns":
        return replace(material, shininess=float(rest.split(maxsplit=1)[0]))
    if key in ("d", "tr"):
        value = min(max(float(rest.rsplit(maxsplit=1)[-1]), 0.0), 1.0)
        return replace(material, opacity=value if key == "d" else 1 - value)
    if key == "illum":
        return replace(material, mirror=int(rest.split(maxsplit=1)[0].rstrip("#")) in (3, 5))
    if key in ("map_kd", "map_d"):
        return replace(material, **{"texture" if key == "map_kd" else "mask": texture_file(rest)})
    return material


def texture_file(rest: str) -> str:
    """The file name in a ``map_`` line, after its options."""
    option = re.compile(r"-(?:[ost]|mm|bm|blendu|blendv|cc|clamp|imfchan|texres|boost)\b", re.I)
    value = re.compile(r"(?:[-+]?\d*\.?\d+(?:e[-+]?\d+)?|on|off|[rgbmlz])(?=\s)", re.I)
    while found := option.match(rest):
        rest = rest[found.end() :].lstrip()
        while found := value.match(rest):
            rest = rest[found.end() :].lstrip()
    return rest
