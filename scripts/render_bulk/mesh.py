"""Meshes ready to draw: a product's triangles in metres on the floor, by material."""

from __future__ import annotations

import hashlib
import io
import posixpath
from dataclasses import dataclass

import numpy as np
from catalogue import Archive, Product
from obj import Material, ModelError, Triangles, cross, parse_mtl, parse_obj
from PIL import Image

CREASE = 40.0  # degrees; a sharper edge is drawn sharp
LARGEST = 1024  # pixels; larger textures are shrunk
UNSEEN = 0.01  # materials less opaque than this are not drawn


@dataclass(frozen=True)
class Part:
    """The triangles of one material.

    ``corners`` (3 m, 8) float32: position, normal and texture place (u, v) of each corner, three
    corners a triangle. ``texture`` is (h, w, 4) uint8, sRGB and alpha, its first row below, or
    None. ``cutout`` says that the texture's alpha cuts holes.
    """

    corners: np.ndarray
    material: Material
    texture: np.ndarray | None
    cutout: bool

    @property
    def translucent(self) -> bool:
        """Whether what is behind shows through."""
        return self.material.opacity < 0.99 or (self.texture is not None and self.soft)

    @property
    def soft(self) -> bool:
        """Whether much of the texture is half transparent."""
        if self.texture is None or not self.cutout:
            return False
        alpha = self.texture[..., 3]
        return bool(((alpha > 20) & (alpha < 235)).mean() > 0.3)


@dataclass(frozen=True)
class Mesh:
    """A product in the unit sphere around 0, y upward, its front towards +z.

    ``floor`` is the height of its foot. ``points`` (p, 3) are spread over its surface.
    ``geometry`` and ``look`` are hashes: models with equal ``geometry`` have the same shape,
    those with equal ``look`` the same materials as well.
    """

    parts: tuple[Part, ...]
    floor: float
    extent: np.ndarray
    points: np.ndarray
    geometry: str
    look: str


def read_mesh(archive: Archive, product: Product) -> Mesh:
    """Read a product's model; `ModelError` says what is wrong with it."""
    try:
        files, path = archive.model(product.model)
        data = files.read(path)
    except (KeyError, StopIteration):
        raise ModelError("the model's file is not in the archive") from None
    triangles = parse_obj(data)
    materials = read_materials(files, path, triangles.libraries)
    return build_mesh(triangles, materials, product, files, posixpath.dirname(path))


def read_materials(files: Archive, path: str, libraries: list[str]) -> dict[str, Material]:
    """The materials of a model's libraries; a library that is missing holds none."""
    materials: dict[str, Material] = {}
    folder = posixpath.dirname(path)
    for library in libraries:
        if name := files.find(posixpath.join(folder, library)):
            materials |= parse_mtl(files.read(name).decode("latin-1"))
    return materials


def build_mesh(
    triangles: Triangles,
    materials: dict[str, Material],
    product: Product,
    files: Archive,
    folder: str,
) -> Mesh:
    """Place the triangles, give them normals and sort them by material."""
    turn = np.array(product.rotation).reshape(3, 3) if product.rotation else np.eye(3)
    xyz = triangles.positions @ turn.T
    used = xyz[triangles.corners[..., 0]]
    low, high = used.min((0, 1)), used.max((0, 1))
    if not (high > low).sum() >= 2:
        raise ModelError("the model has no extent")
    scale = np.array(product.size) / np.maximum(high - low, 1e-9)
    scale[high - low < 1e-9] = 1.0
    xyz = (xyz - (low + high) / 2) * scale
    radius = float(np.sqrt((xyz[triangles.corners[..., 0]] ** 2).sum(-1).max()))
    xyz /= radius
    faces = cross(xyz[triangles.corners[..., 0]])
    area = np.linalg.norm(faces, axis=1)
    real = area > 1e-12
    if not real.any():
        raise ModelError("all faces are without area")
    corners, which = triangles.corners[real], triangles.material[real]
    normals = crease_normals(xyz, corners[..., 0], faces[real])
    given = corners[..., 2] >= 0
    if given.any():
        turned = (triangles.normals @ turn.T) / scale
        own = turned[corners[..., 2]]
        length = np.linalg.norm(own, axis=-1, keepdims=True)
        good = given & (length[..., 0] > 1e-6)
        normals[good] = (own / np.maximum(length, 1e-9))[good]
    uvs = np.zeros((*corners.shape[:2], 2))
    placed = corners[..., 1] >= 0
    if placed.any():
        uvs[placed] = triangles.uvs[corners[..., 1][placed]]
    table = np.concatenate([xyz[corners[..., 0]], normals, uvs], -1).astype(np.float32)
    parts, looks = [], []
    for number in np.unique(which):
        name = triangles.names[number] if number >= 0 else ""
        material = materials.get(name, Material(name))
        if material.opacity < UNSEEN:
            continue
        texture, cutout = read_texture(files, folder, material)
        chosen = table[which == number]
        parts.append(Part(chosen.reshape(-1, 8), material, texture, cutout))
        digest = "" if texture is None else hashlib.sha256(texture.tobytes()).hexdigest()
        looks.append(f"{material.colour} {material.opacity} {digest} {len(chosen)}")
    if not parts:
        raise ModelError("nothing of the model can be seen")
    points = sample(xyz[corners[..., 0]], area[real])
    shape = geometry_hash(xyz[corners[..., 0]])
    return Mesh(
        tuple(parts),
        floor=float(xyz[corners[..., 0]][..., 1].min()),
        extent=np.array(product.size) / radius / 2,
        points=points,
        geometry=shape,
        look=hashlib.sha256("\n".join([shape, *sorted(looks)]).encode()).hexdigest()[:16],
    )


def geometry_hash(triangles: np.ndarray) -> str:
    """A hash of the places of corners (m, 3, 3), whatever their order, how often and what size."""
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    grid = np.rint((triangles - low) / np.maximum(high - low, 1e-9) * 1000).astype(np.int16)
    places = np.unique(grid.reshape(-1, 3).view([("", np.int16)] * 3))
    return hashlib.sha256(places.tobytes()).hexdigest()[:16]


def crease_normals(xyz: np.ndarray, corners: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals (m, 3, 3) of the corners (m, 3) of triangles whose own normals are ``faces``.

    A corner's normal is the mean, weighted by area, of those faces around its place that are
    turned from its own face by less than `CREASE`.
    """
    key = np.rint(xyz * 1e5).astype(np.int32)
    _, place = np.unique(key.view([("", np.int32)] * 3).reshape(-1), return_inverse=True)
    at = place[corners].reshape(-1)
    order = np.argsort(at, kind="stable")
    at, face = at[order], np.repeat(np.arange(len(faces)), 3)[order]
    weighted = faces[face]
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    total = weighted.copy()
    limit = np.cos(np.radians(CREASE))
    for step in range(1, 64):
        pairs = np.nonzero(at[:-step] == at[step:])[0]
        if not len(pairs):
            break
        smooth = (unit[pairs] * unit[pairs + step]).sum(1) > limit
        a, b = pairs[smooth], pairs[smooth] + step
        total[a] += weighted[b]
        total[b] += weighted[a]
    normals = np.empty_like(total)
    normals[order] = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return normals.reshape(-1, 3, 3)


def sample(triangles: np.ndarray, area: np.ndarray, count: int = 600) -> np.ndarray:
    """Points (p, 3) on the surface: spread evenly, then the outermost in many directions."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    a, b = np.sort(rng.random((2, count, 1)), axis=0)
    three = triangles[chosen]
    inside = three[:, 0] * a + three[:, 1] * (b - a) + three[:, 2] * (1 - b)
    ways = rng.normal(size=(60, 3))
    flat = triangles.reshape(-1, 3)
    return np.concatenate([inside, flat[(flat @ ways.T).argmax(0)]])


def read_texture(files: Archive, folder: str, material: Material) -> tuple[np.ndarray | None, bool]:
    """A material's texture with its alpha, and whether this cuts holes; None if there is none."""
    colour = open_image(files, folder, material.texture)
    mask = open_image(files, folder, material.mask)
    if colour is None:
        return None, False
    if mask is not None:
        alpha = mask.getchannel("A") if mask.getextrema()[3][0] < 255 else mask.convert("L")
        colour.putalpha(alpha.resize(colour.size))
    colour.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    pixels = np.ascontiguousarray(np.asarray(colour)[::-1])
    return pixels, bool((pixels[..., 3] < 250).mean() > 0.001)


def open_image(files: Archive, folder: str, name: str | None) -> Image.Image | None:
    """A picture of the archive as RGBA; None where it is missing or damaged."""
    found = files.find(posixpath.join(folder, name)) if name else None
    if found is None:
        return None
    try:
        return Image.open(io.BytesIO(files.zip.read(found))).convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
