"""scripts/render_bulk as far as it needs no OpenGL."""

from __future__ import annotations

import io
import math
import sys
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.append(str(SCRIPTS / "render_bulk"))

from catalogue import LIST, Archive, Product, licence_name, read_catalogue, read_properties, slug  # noqa: E402
from exclusion import SAMPLE_ARCHIVE, numbers, read_exclusion  # noqa: E402
from mesh import read_mesh  # noqa: E402
from obj import ModelError, parse_mtl, parse_obj, texture_file  # noqa: E402
from store import Note, Settings, Store  # noqa: E402
from views import aim, frame, outside, plan, radiance  # noqa: E402

CUBE = """
mtllib cube.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl wood
f 1/1 4/4 3/3 2/2
f 5/1 6/2 7/3 8/4
f 1/1 2/2 6/3 5/4
f 4/1 8/2 7/3 3/4
usemtl glass
f 1/1 5/2 8/3 4/4
f 2/1 3/2 7/3 6/4
"""
MTL = """
newmtl wood
Kd 0.2 0.4 0.6
map_Kd -s 1 1 1 Wood Grain.png
newmtl glass
Kd 0.5 0.5 0.5
d 0.3
"""
PRODUCT = Product(
    id="a/cube",
    name="Cube",
    category="Office",
    author="Someone",
    licence="CC0",
    archive="a.sh3f",
    model="a/cube/cube.obj",
    icon="",
    size=(1.0, 2.0, 3.0),
)
SETTINGS = Settings(seller_views=1, user_views=2, size=32, seed=0)


def png(colour: tuple[int, ...]) -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGBA", (4, 4), colour).save(file, "PNG")
    return file.getvalue()


def make_archive(path: Path, files: dict[str, str | bytes]) -> Path:
    """Write a furniture archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def entry(number: int, model: str, **more: object) -> str:
    """One product of an archive's list."""
    values = {"name": model, "category": "Office", "model": f"/a/{model}/{model}.obj"}
    values |= {"width": 100, "depth": 300, "height": 200, **more}
    return "".join(f"{key}#{number}={value}\n" for key, value in values.items())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(
        tmp_path / "Made CC.sh3f",
        {
            LIST: "license=Public domain\n" + entry(1, "cube") + entry(2, "oak", creator="Ann"),
            "a/cube/cube.obj": CUBE,
            "a/cube/cube.mtl": MTL,
            "a/cube/wood grain.PNG": png((10, 200, 30, 255)),
            "a/oak/oak.obj": CUBE,
            "a/oak/LICENSE.html": "<b>Creative Commons Attribution 3.0</b> You are free",
        },
    )


# ---- OBJ and MTL


def test_polygons_become_triangles_with_their_materials() -> None:
    cube = parse_obj(CUBE.encode())
    assert cube.corners.shape == (12, 3, 3)
    assert cube.names == ["wood", "glass"]
    assert np.bincount(cube.material).tolist() == [8, 4]
    assert cube.libraries == ["cube.mtl"]
    assert (cube.corners[..., 2] == -1).all()  # no normals are given


@pytest.mark.parametrize(
    "face",
    ["1 2 3", "1/1 2/2 3/3", "1//1 2//1 3//1", "1/1/1 2/2/1 3/3/1", "-3/-3/-1 -2/-2/-1 -1/-1/-1"],
)
def test_each_way_to_write_a_face(face: str) -> None:
    head = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nvn 0 0 1\n"
    (triangle,) = parse_obj(f"{head}f {face}\n".encode()).corners
    assert triangle[:, 0].tolist() == [0, 1, 2]
    assert triangle[:, 1].tolist() in ([0, 1, 2], [-1, -1, -1])
    assert triangle[:, 2].tolist() in ([0, 0, 0], [-1, -1, -1])


def test_ways_to_write_a_face_can_be_mixed() -> None:
    head = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvn 0 0 1\n"
    made = parse_obj(f"{head}f 1 2 3\nf 1/1 2/1 3/1\nf 1//1 2//1 3//1\n".encode())
    assert made.corners[:, 0].tolist() == [[0, -1, -1], [0, 0, -1], [0, -1, 0]]


@pytest.mark.parametrize("flip", [False, True])
def test_a_concave_polygon_is_covered_once(flip: bool) -> None:
    outline = [(0, 0), (2, 0), (2, 2), (1, 0.5), (0, 2)]  # an M: a fan would leave it
    rows = "".join(f"v {x} 0 {y}\n" for x, y in outline)
    order = "5 4 3 2 1" if flip else "4 5 1 2 3"
    made = parse_obj(f"{rows}f {order}\n".encode())
    three = made.positions[made.corners[..., 0]]
    areas = np.linalg.norm(np.cross(three[:, 1] - three[:, 0], three[:, 2] - three[:, 0]), axis=1)
    assert areas.sum() / 2 == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v 0 0 0\n", "no faces"),
        ("v 0 0 0\nf 1 2 3\n", "a face names a vertex that is not there"),
        ("v 0 0 0\nv 1 0 0\nv a b c\nf 1 2 3\n", "a coordinate is no number"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 x 3\n", "a face cannot be read"),
    ],
)
def test_what_is_wrong_with_a_model_is_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        parse_obj(text.encode())


def test_materials_keep_what_can_be_read() -> None:
    made = parse_mtl(
        "newmtl a\nKd 1 .5 0\nKs 0.5 0.5 0.5\nNs 9\nTr 0.25\nillum 2#\n"
        "newmtl b\n\tKd no\nd 0.5\nmap_Kd x.png\nmap_d y.png\n"
    )
    assert made["a"].colour == (1, 0.5, 0)
    assert made["a"].opacity == 0.75
    assert made["a"].shininess == 9
    assert made["b"].colour == (0.7, 0.7, 0.7)
    assert (made["b"].texture, made["b"].mask, made["b"].opacity) == ("x.png", "y.png", 0.5)


def test_a_textures_name_stands_after_its_options() -> None:
    assert texture_file("-s 1 1 1 -o 0.5 0 -clamp on my wood.png") == "my wood.png"
    assert texture_file("2 metal.png") == "2 metal.png"


# ---- the archives


def test_the_list_of_an_archive() -> None:
    top, entries = read_properties("name=All\nname#10=B\nname#2=A \\u20ac\n# no\n")
    assert top == {"name": "All"}
    assert entries == [{"name": "A €"}, {"name": "B"}]


def test_slugs() -> None:
    assert slug("Table à café (2)") == "Table-caf-2"
    assert slug("../x") == "x"


def test_products_of_an_archive(archive: Path) -> None:
    (cube, oak), broken = read_catalogue(archive)
    assert (cube.id, cube.licence, cube.size) == ("made-cc/cube", "CC0", (1.0, 2.0, 3.0))
    assert (oak.author, oak.licence) == ("Ann", "CC-BY-3.0")  # a model's own licence comes first
    assert not broken


def test_a_faulty_entry_is_counted_not_fatal(tmp_path: Path) -> None:
    path = make_archive(
        tmp_path / "x.sh3f",
        {LIST: entry(1, "a", width="wide") + "name#2=b\n" + entry(3, "c") + entry(4, "c")},
    )
    products, broken = read_catalogue(path)
    assert [p.id for p in products] == ["x/c", "x/c-2"]
    assert [name for name, _ in broken] == ["x.sh3f#1", "x.sh3f#2"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Public domain", "CC0"),
        ("Released under\nCreative Commons Zero (Public Domain)", "CC0"),
        ("Creative Commons 3.0 Attribution 3.0 United States license", "CC-BY-3.0"),
        ("Creative Commons Attribution-NonCommercial 3.0", "CC-BY-NC-3.0"),
        ("Creative Commons Attribution 4.0 International", "CC-BY-4.0"),
        ("Creative Commons 2.5 Attribution-ShareAlike licence", "CC-BY-SA-2.5"),
        (
            "<a href='//creativecommons.org/licenses/by/4.0/'>Creative Commons Attribution</a>",
            "CC-BY-4.0",
        ),
        ("Creative Commons Attribution licence, version of the models: 1.2", "CC-BY"),
        ("all rights reserved", None),
    ],
)
def test_licences(text: str, name: str | None) -> None:
    assert licence_name(text) == name


def test_a_nested_zip_is_looked_into(tmp_path: Path) -> None:
    inner = make_archive(tmp_path / "inner.zip", {"m/cube.obj": CUBE}).read_bytes()
    outer = make_archive(tmp_path / "o.sh3f", {"a/cube.zip": inner})
    assert len(read_mesh(Archive(outer), replace(PRODUCT, model="a/cube.zip")).parts) == 2


# ---- meshes


def test_a_mesh_has_the_catalogues_proportions(archive: Path) -> None:
    (product, _), _ = read_catalogue(archive)
    mesh = read_mesh(Archive(archive), product)
    xyz = np.concatenate([part.corners[:, :3] for part in mesh.parts])
    assert np.ptp(xyz, 0) / np.ptp(xyz[:, 0]) == pytest.approx([1, 2, 3], abs=1e-5)
    assert np.linalg.norm(xyz, axis=1).max() == pytest.approx(1)
    assert mesh.floor == pytest.approx(xyz[:, 1].min())
    wood, glass = mesh.parts
    assert wood.texture is not None  # whatever the case of its name
    assert wood.texture[0, 0].tolist() == [10, 200, 30, 255]
    assert (wood.translucent, glass.translucent) == (False, True)


def test_normals_keep_a_cubes_edges_and_smooth_a_bend(archive: Path) -> None:
    (product, _), _ = read_catalogue(archive)
    cube = read_mesh(Archive(archive), product)
    normals = np.concatenate([part.corners[:, 3:6] for part in cube.parts])
    assert np.sort(np.abs(normals), 1) == pytest.approx(np.tile([0, 0, 1], (len(normals), 1)))
    bend = math.radians(20)
    text = (
        f"v 0 0 0\nv 0 1 0\nv 1 0 0\nv 1 1 0\nv {1 + math.cos(bend)} 0 {math.sin(bend)}\n"
        f"v {1 + math.cos(bend)} 1 {math.sin(bend)}\nf 1 3 4 2\nf 3 5 6 4\n"
    )
    size = (1 + math.cos(bend), 1.0, math.sin(bend))
    path = make_archive(archive.with_name("bend.sh3f"), {"a/cube/cube.obj": text})
    mesh = read_mesh(Archive(path), replace(PRODUCT, size=size))
    (part,) = mesh.parts
    edge = part.corners[np.isclose(part.corners[:, 0], np.median(part.corners[:, 0]), atol=0.05)]
    half = bend / 2
    assert edge[:, 3:6] == pytest.approx(
        np.tile([-math.sin(half), 0, math.cos(half)], (len(edge), 1)), abs=0.07
    )


def test_the_catalogues_rotation_is_applied(archive: Path) -> None:
    turned = replace(PRODUCT, rotation=(0, 0, 1, 0, 1, 0, -1, 0, 0))
    plain, other = (read_mesh(Archive(archive), p) for p in (PRODUCT, turned))
    assert {tuple(p.corners[0, 3:6].round()) for p in plain.parts} != {
        tuple(p.corners[0, 3:6].round()) for p in other.parts
    }


def test_shape_and_look_are_told_apart(tmp_path: Path) -> None:
    files = {"a/cube/cube.obj": CUBE, "a/cube/cube.mtl": MTL}
    again = CUBE.replace(
        "f 1/1 4/4 3/3 2/2\nf 5/1 6/2 7/3 8/4", "f 6/2 7/3 8/4 5/1\nf 1/1 4/4 3/3 2/2"
    )
    variants = [
        files,
        files | {"a/cube/cube.obj": again},
        files | {"a/cube/cube.mtl": MTL.replace("0.6", "0.9")},
        files | {"a/cube/cube.obj": CUBE.replace("v 1 1 1\n", "v 1 1 0.9\n")},
    ]
    meshes = [
        read_mesh(Archive(make_archive(tmp_path / f"{n}.sh3f", f)), PRODUCT)
        for n, f in enumerate(variants)
    ]
    first, copy, recoloured, other = meshes
    assert first.look == copy.look
    assert first.geometry == recoloured.geometry
    assert first.look != recoloured.look
    assert first.geometry != other.geometry


# ---- views


def points() -> np.ndarray:
    """Places on the unit sphere."""
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(400, 3)) * [1, 0.6, 0.4]
    return xyz / np.linalg.norm(xyz, axis=1).max()


def test_a_view_depends_on_seed_product_kind_and_number_alone() -> None:
    view = plan(PRODUCT, "user", 3, seed=1)
    plan(PRODUCT, "user", 4, seed=1)
    assert plan(PRODUCT, "user", 3, seed=1) == view
    others = [
        plan(PRODUCT, "user", 3, seed=2),
        plan(PRODUCT, "user", 4, seed=1),
        plan(replace(PRODUCT, id="a/other"), "user", 3, seed=1),
        plan(PRODUCT, "seller", 3, seed=1),
    ]
    assert view not in others


def test_views_are_as_their_kind_wants() -> None:
    for number in range(60):
        seller, user = plan(PRODUCT, "seller", number, 0), plan(PRODUCT, "user", number, 0)
        assert seller.roll == 0
        assert seller.fov < 25 < user.fov
        assert abs(user.roll) <= 15
        assert 0 <= user.elevation <= 62
        assert outside(frame(seller, points()), points()) == 0
        assert outside(frame(user, points()), points()) <= 0.2


def test_a_product_fills_the_wanted_share_in_the_wanted_place() -> None:
    view = replace(plan(PRODUCT, "seller", 0, 0), fill=0.8, centre=(0.5, 0.55))
    seen = np.concatenate([points(), np.ones((400, 1))], 1) @ aim(view, points()).matrix.T
    flat = seen[:, :2] / seen[:, 3:] / 2 + 0.5
    assert np.ptp(flat, 0).max() == pytest.approx(0.8, abs=0.01)
    assert (flat.min(0) + flat.max(0)) / 2 == pytest.approx([0.5, 0.55], abs=0.01)


def test_light_is_as_strong_in_every_view() -> None:
    ways = np.random.default_rng(0).normal(size=(64, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    for number in range(20):
        soft, hard = radiance(plan(PRODUCT, "user", number, 0), ways)
        assert soft.min() > 0
        assert 0.3 < soft.mean() + hard.mean() < 6


# ---- exclusion


def sample_product(stem: str) -> Product:
    """A product of the archive that the sample set is rendered from."""
    return replace(
        PRODUCT, id=f"blendswap-cc-0/{stem}", archive=SAMPLE_ARCHIVE, model=f"b/{stem}/{stem}.obj"
    )


def sample_set(folder: Path, stems: list[str]) -> Path:
    """A test set with these models, numbered as scripts/render_furniture numbers them."""
    for table in ("gallery", "queries"):
        rows = [zlib.crc32(f"id {stem}".encode()) % 2_000_000_000 + 1 for stem in stems]
        text = "product_id\n" + "".join(f"{row}\n" for row in rows)
        (folder / f"{table}.csv").write_text(text)
    return folder


def test_a_test_sets_products_are_found_by_their_numbers(tmp_path: Path) -> None:
    folder = sample_set(tmp_path, ["strange", "armchair"])
    twin = replace(sample_product("strange"), id="other/strange", archive="other.sh3f")
    products = [*map(sample_product, ("strange", "armchair", "unlisted")), twin]
    assert read_exclusion(folder, products) == {"blendswap-cc-0/strange", "blendswap-cc-0/armchair"}


def test_a_test_set_that_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    folder = sample_set(tmp_path, ["strange", "gone"])
    with pytest.raises(SystemExit, match="no model for 1 products"):
        read_exclusion(folder, [sample_product("strange")])


def test_the_sample_sets_numbers_are_those_of_its_own_script() -> None:
    table = SCRIPTS.parent / "examples" / "furniture" / "gallery.csv"
    from products import PRODUCTS  # scripts/render_furniture, which `exclusion` looks up

    products = [sample_product(stem) for stem in PRODUCTS]
    assert len(read_exclusion(table.parent, products)) == len(numbers(table)) == 90


def test_a_list_of_products(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# held out\na/cube\n\nelsewhere/x\n")
    assert read_exclusion(path, [PRODUCT]) == {"a/cube"}
    path.write_text("a/cubes\n")
    with pytest.raises(SystemExit, match="a/cubes"):
        read_exclusion(path, [PRODUCT])


# ---- what is finished


def test_tables_tell_of_finished_products_alone(tmp_path: Path) -> None:
    store = Store(tmp_path, SETTINGS)
    products = [replace(PRODUCT, id=f"a/{name}") for name in ("one", "two", "copy", "bad", "late")]
    store.save_note(Note("a/one", SETTINGS, "g1", "l1"))
    store.save_note(Note("a/copy", SETTINGS, "g1", "l1"))
    store.save_note(Note("a/two", SETTINGS, "g1", "l2"))  # the same shape in another colour
    store.save_note(Note("a/bad", SETTINGS, reason="no faces"))
    store.save_note(Note("a/late", replace(SETTINGS, seed=1), "g3", "l3"))
    kept, failures = store.write_tables(products, [("a.sh3f#9", "the list gives no name")])
    assert [p.id for p in kept] == ["a/one", "a/two"]
    assert failures == [
        ("a.sh3f#9", "the list gives no name"),
        ("a/copy", "duplicate of another product"),
        ("a/bad", "no faces"),
    ]
    rows = (tmp_path / "train.csv").read_text().splitlines()
    assert rows[:3] == [
        "img_path,source,domain,product_id,category",
        "images/a/one/seller-00.webp,renders,seller,a/one,Office",
        "images/a/one/user-00.webp,renders,user,a/one,Office",
    ]
    assert len(rows) == 1 + 2 * 3
    credit = (tmp_path / "credits.csv").read_text().splitlines()[1]
    assert credit == "a/one,Cube,Someone,CC0,a.sh3f"
    assert not list(tmp_path.rglob("*.part"))


def test_pictures_keep_their_transparency(tmp_path: Path) -> None:
    store = Store(tmp_path, SETTINGS)
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:24, 8:24] = (200, 40, 20, 255)
    store.save_picture("a/one", "user", 1, Image.fromarray(pixels))
    with Image.open(tmp_path / store.picture_path("a/one", "user", 1)) as picture:
        assert (picture.format, picture.mode) == ("WEBP", "RGBA")
        assert picture.getpixel((2, 2))[3] == 0
        assert picture.getpixel((16, 16))[3] == 255


def test_an_unfinished_product_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path, SETTINGS)
    store.save_picture("a/one", "user", 7, Image.new("RGBA", (8, 8)))
    store.save_note(Note("a/one", SETTINGS))
    store.clear("a/one")
    assert store.note("a/one") is None
    assert not list(tmp_path.rglob("*.webp"))


def test_a_note_of_another_version_is_no_note(tmp_path: Path) -> None:
    store = Store(tmp_path, SETTINGS)
    store.save_note(Note("a/one", SETTINGS, "g", "l"))
    assert store.note("a/one") == Note("a/one", SETTINGS, "g", "l")
    store.note_path("a/one").write_text('{"product": 1}')
    assert store.note("a/one") is None
