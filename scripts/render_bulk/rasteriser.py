"""Drawing: a mesh and a view to a picture with transparency, on OpenGL without a screen.

Light comes from `COUNT` directions all round, each with its own depth map of the product, so that
shade in corners and soft shadows are right from every side. A picture is drawn at twice its
size; each of the four pixels that become one looks at a quarter of the directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mesh import Mesh, Part
from views import Camera, View, hard_direction, radiance

COUNT = 64  # directions light comes from
TILES = 8  # depth maps stand in a square of TILES x TILES
TILE = 256  # pixels of a depth map
SUN = 768  # pixels of the hard lamp's depth map
RADIUS = 1.02  # what a depth map spans, a little more than the unit sphere
SRGB8_ALPHA8 = 0x8C43
SHADERS = Path(__file__).parent / "shaders"


def spread(count: int) -> np.ndarray:
    """Directions (count, 3) evenly all round, in an order whose quarters are even as well."""
    k = np.arange(count) + 0.5
    height, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], 1)


def frames(directions: np.ndarray) -> np.ndarray:
    """For each direction (k, 3) the axes (k, 3, 3) across, along and towards it, as rows."""
    helper = np.where(np.abs(directions[:, 1:2]) > 0.9, [[1.0, 0, 0]], [[0.0, 1, 0]])
    right = np.cross(helper, directions)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, np.cross(directions, right), directions], 1)


def open_context() -> Any:
    """An OpenGL context without a screen."""
    try:
        import moderngl  # noqa: PLC0415  the one import site
    except ImportError:
        raise SystemExit(
            "rendering needs moderngl and Mesa: pip install moderngl; "
            "apt-get install libegl1 libgl1-mesa-dri libgles2"
        ) from None
    return moderngl.create_standalone_context(backend="egl")


class Rasteriser:
    """Draws pictures of ``size`` x ``size`` pixels; one a process.

    The fine picture holds float32 and solid parts are drawn without blending: llvmpipe (Mesa
    22.3) blends float16 wrongly, in coloured tiles.
    """

    def __init__(self, size: int) -> None:
        self.gl = gl = open_context()
        self.size = size
        self.directions = spread(COUNT)
        self.axes = frames(self.directions)
        self.programs = {
            "depth": self.program("depth", "empty"),
            "depth holes": self.program("depth", "holes"),
            "fill": self.program("surface", "empty"),
            "surface": self.program("surface", "surface"),
            "surface holes": self.program("surface", "surface", "#define HOLES\n"),
            "floor": self.program("floor", "floor"),
            "resolve": self.program("resolve", "resolve"),
        }
        self.maps, self.sun = gl.depth_texture((TILES * TILE,) * 2), gl.depth_texture((SUN, SUN))
        for depth in (self.maps, self.sun):
            depth.compare_func = ""
            depth.filter = (gl.NEAREST, gl.NEAREST)
        self.maps_target = gl.framebuffer(depth_attachment=self.maps)
        self.sun_target = gl.framebuffer(depth_attachment=self.sun)
        self.fine = gl.texture((2 * size, 2 * size), 4, dtype="f4")
        depth = gl.depth_renderbuffer((2 * size, 2 * size))
        self.fine_target = gl.framebuffer([self.fine], depth)
        self.target = gl.simple_framebuffer((size, size), 4)
        self.white = gl.texture((1, 1), 4, b"\xff\xff\xff\xff")
        corners = gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32))
        self.square = gl.vertex_array(self.programs["resolve"], [(corners, "2f", "place")])
        self.ground = gl.vertex_array(self.programs["floor"], [(corners, "2f", "place")])

    def program(self, vertex: str, fragment: str, more: str = "") -> Any:
        """A shader program of two files; ``more`` stands at the second's beginning."""
        known = {"COUNT": COUNT, "TILES": TILES, "TILE": TILE, "SUN": SUN, "RADIUS": RADIUS}
        head = "#version 330\n" + "".join(f"#define {k} {v}\n" for k, v in known.items())
        source = (SHADERS / f"{fragment}.frag").read_text()
        source = source.replace("#include light.glsl", (SHADERS / "light.glsl").read_text())
        return self.gl.program(
            vertex_shader=head + (SHADERS / f"{vertex}.vert").read_text(),
            fragment_shader=head + more + source,
        )

    def set(self, **values: Any) -> None:
        """Give all programs that know them these values; arrays row by row."""
        for program in self.programs.values():
            for name, value in values.items():
                if name in program:
                    if isinstance(value, np.ndarray):
                        program[name].write(value.astype("f4").tobytes())
                    else:
                        program[name].value = value

    def load(self, mesh: Mesh) -> Scene:
        """Bring a mesh to the renderer and draw the depth maps that all its views share."""
        scene = Scene(self, mesh)
        self.draw_depth(scene, self.maps_target, self.axes, TILES)
        return scene

    def draw_depth(self, scene: Scene, target: Any, axes: np.ndarray, tiles: int) -> None:
        """Draw how far the product is, seen from each of the ends of ``axes`` (k, 3, 3)."""
        table = np.zeros((COUNT, 3, 3))
        table[: len(axes)] = axes
        self.set(axes=table, tiles=tiles)
        target.use()
        target.clear(depth=1.0)
        self.gl.enable_only(self.gl.DEPTH_TEST)
        for item in scene.items:
            if not item.part.translucent:
                item.texture.use(0)
                item.depth.render(instances=len(axes))

    def draw(self, scene: Scene, view: View, camera: Camera) -> np.ndarray:
        """A picture (size, size, 4) uint8: sRGB colours, not multiplied by alpha, and alpha."""
        gl, target = self.gl, self.fine_target
        sun_axes = frames(hard_direction(view)[None])
        soft, sun = radiance(view, self.directions)
        if sun.any():
            self.draw_depth(scene, self.sun_target, sun_axes, 1)
        self.set(
            axes=self.axes,
            light=soft * 16 / COUNT,
            sun_axes=sun_axes[0],
            sun=sun,
            matrix=camera.matrix.T,
            eye=tuple(camera.eye),
            maps=1,
            sun_map=2,
            exposure=view.exposure,
            height=scene.mesh.floor,
            strength=view.shadow,
            extent=tuple(scene.mesh.extent),
        )
        self.maps.use(1)
        self.sun.use(2)
        target.use()
        target.clear(0, 0, 0, 0, depth=1.0)
        gl.enable_only(gl.DEPTH_TEST)
        gl.blend_func = gl.ONE, gl.ONE_MINUS_SRC_ALPHA
        gl.depth_func = "<="
        solid = [i for i in scene.items if not i.part.translucent]
        target.color_mask = (False,) * 4
        for item in solid:
            if not item.part.cutout:
                item.fill.render()
        target.color_mask = (True,) * 4
        for item in solid:
            self.draw_item(item)
        target.depth_mask = False
        gl.enable(gl.BLEND)
        if view.shadow:
            self.ground.render(gl.TRIANGLE_STRIP)
        glass = [i for i in scene.items if i.part.translucent]
        for item in sorted(glass, key=lambda i: -float(np.linalg.norm(i.middle - camera.eye))):
            self.draw_item(item)
        target.depth_mask = True
        self.target.use()
        gl.enable_only(gl.NOTHING)
        self.fine.use(0)
        self.square.render(gl.TRIANGLE_STRIP)
        data = np.frombuffer(self.target.read(components=4), np.uint8)
        return data.reshape(self.size, self.size, 4)[::-1]

    def draw_item(self, item: Item) -> None:
        """Draw the triangles of one material."""
        material, part = item.part.material, item.part
        shine = float(np.mean(material.specular))
        program = item.surface.program
        item.texture.use(0)
        program["colour"].value = (*linear(material.colour), material.opacity)
        straight = (0.3 if material.mirror else 0.08) * shine
        program["gloss"].value = (straight, 0.05 + 0.4 * shine, float(np.clip(item.sharp, 4, 200)))
        program["mode"].value = 0 if part.texture is None else 2 if part.soft else 1
        item.surface.render()


@dataclass(frozen=True)
class Item:
    """A part in the renderer's memory, with the ways to draw it."""

    part: Part
    texture: Any
    surface: Any
    depth: Any
    fill: Any
    middle: np.ndarray
    sharp: float


class Scene:
    """A mesh in the renderer's memory, until `release`."""

    def __init__(self, rasteriser: Rasteriser, mesh: Mesh) -> None:
        self.gl, self.mesh = rasteriser.gl, mesh
        self.held: list[Any] = []
        self.items = [self.item(part, rasteriser) for part in mesh.parts]

    def item(self, part: Part, rasteriser: Rasteriser) -> Item:
        """Bring a part to the renderer."""
        holes = " holes" if part.cutout else ""
        programs, buffer = rasteriser.programs, self.keep(self.gl.buffer(part.corners.tobytes()))

        def array(name: str, layout: str, *names: str) -> Any:
            return self.keep(self.gl.vertex_array(programs[name], [(buffer, layout, *names)]))

        return Item(
            part,
            rasteriser.white if part.texture is None else self.texture(part.texture),
            array("surface" + holes, "3f 3f 2f", "position", "normal", "uv"),
            array("depth holes", "3f 12x 2f", "position", "uv")
            if holes
            else array("depth", "3f 20x", "position"),
            array("fill", "3f 20x", "position"),
            part.corners[:, :3].mean(0),
            part.material.shininess,
        )

    def keep(self, thing: Any) -> Any:
        """Remember something to be released."""
        self.held.append(thing)
        return thing

    def texture(self, pixels: np.ndarray) -> Any:
        """A texture with its smaller copies."""
        height, width = pixels.shape[:2]
        texture = self.keep(
            self.gl.texture((width, height), 4, pixels.tobytes(), internal_format=SRGB8_ALPHA8)
        )
        texture.build_mipmaps()
        texture.filter = (self.gl.LINEAR_MIPMAP_LINEAR, self.gl.LINEAR)
        return texture

    def release(self) -> None:
        """Give the memory back."""
        for thing in reversed(self.held):
            thing.release()


def linear(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """An sRGB colour in linear light."""
    r, g, b = (((c + 0.055) / 1.055) ** 2.4 if c > 0.04045 else c / 12.92 for c in colour)
    return (r, g, b)
