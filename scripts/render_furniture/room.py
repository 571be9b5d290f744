"""Surroundings made from geometry and procedural textures only: a studio ground, and rooms.

Everything is named ``stage`` so that the scene can be cleared between photos. ``factor`` is
scene units per metre: the product is always one unit large, the patterns keep real size.
"""

from __future__ import annotations

import colorsys
import math
import random

import bpy

Colour = tuple[float, float, float]


class Shader:
    """A material under construction; ``add`` makes a node and wires or sets its inputs."""

    def __init__(self, factor: float = 1.0, stretch: tuple[float, float, float] = (1, 1, 1)):
        self.material = bpy.data.materials.new("stage")
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        place = self.add("ShaderNodeTexCoord").outputs["Object"]
        scale = tuple(s / factor for s in stretch)
        self.at = self.add("ShaderNodeMapping", Vector=place, Scale=scale).outputs[0]

    def add(self, kind: str, **inputs) -> bpy.types.Node:
        """A node whose inputs are set to values or wired to other nodes' outputs."""
        node = self.tree.nodes.new(kind)
        for name, value in inputs.items():
            socket = node.inputs[name.replace("_", " ")]
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            else:
                socket.default_value = value
        return node

    def noise(self, scale: float, detail: float = 3, stretch=(1, 1, 1)) -> bpy.types.NodeSocket:
        """Cloudy noise; ``stretch`` makes it streaky."""
        at = self.add("ShaderNodeMapping", Vector=self.at, Scale=stretch).outputs[0]
        node = self.add("ShaderNodeTexNoise", Vector=at, Scale=scale, Detail=detail)
        return node.outputs["Fac"]

    def mix(self, fac, a, b, blend: str = "MIX") -> bpy.types.NodeSocket:
        """Two colours mixed."""
        a, b = (x if isinstance(x, bpy.types.NodeSocket) else (*x, 1) for x in (a, b))
        node = self.add("ShaderNodeMixRGB", Fac=fac, Color1=a, Color2=b)
        node.blend_type = blend
        return node.outputs[0]

    def ramp(self, value, low: float, high: float) -> bpy.types.NodeSocket:
        """The value stretched so that ``low`` gives 0 and ``high`` gives 1."""
        node = self.add("ShaderNodeMapRange", Value=value)
        node.inputs["From Min"].default_value = low
        node.inputs["From Max"].default_value = high
        return node.outputs[0]

    def finish(self, colour, rough: float = 0.6, height=None, bump: float = 0.2):
        """The material, with this colour, roughness and relief."""
        node = self.add("ShaderNodeBsdfPrincipled", Base_Color=colour, Roughness=rough)
        if height is not None:
            relief = self.add("ShaderNodeBump", Height=height, Strength=bump, Distance=0.02)
            self.tree.links.new(relief.outputs[0], node.inputs["Normal"])
        out = self.add("ShaderNodeOutputMaterial")
        self.tree.links.new(node.outputs[0], out.inputs["Surface"])
        return self.material


def hsv(h: float, s: float, v: float) -> Colour:
    """A colour by hue, saturation and value, kept in range."""
    return colorsys.hsv_to_rgb(h % 1, min(max(s, 0), 1), min(max(v, 0), 1))


def wood_colours(rng: random.Random) -> tuple[Colour, Colour]:
    """Two tones of one wood, from pale birch over oak to dark walnut, sometimes greyed."""
    value = rng.choice((0.55, 0.42, 0.3, 0.2, 0.12, 0.07)) * rng.uniform(0.85, 1.15)
    hue, sat = rng.uniform(0.055, 0.085), rng.uniform(0.25, 0.7)
    return hsv(hue, sat, value), hsv(hue - 0.005, sat + 0.1, value * rng.uniform(0.5, 0.75))


def planks(rng: random.Random, factor: float):
    """A floor of boards, each with its own tone and grain."""
    s = Shader(factor)
    light, dark = wood_colours(rng)
    wide, long = rng.uniform(0.07, 0.2), rng.uniform(0.6, 1.6)
    brick = s.add(
        "ShaderNodeTexBrick", Vector=s.at, Scale=1, Mortar_Size=wide * 0.012,
        Brick_Width=long, Row_Height=wide, Bias=-0.1,
    )  # fmt: skip
    brick.offset = rng.choice((0.5, 0.33, 0.37))
    for name, c in (("Color1", light), ("Color2", dark), ("Mortar", [x * 0.25 for x in dark])):
        brick.inputs[name].default_value = (*c, 1)
    grain = s.ramp(s.noise(14, 6, (1, 14, 1)), 0.3, 0.7)
    colour = s.mix(0.55, brick.outputs["Color"], s.mix(grain, (0.45, 0.4, 0.36), (1, 1, 1)),
                   "MULTIPLY")  # fmt: skip
    return s.finish(colour, rng.uniform(0.25, 0.6), grain, 0.05)


def wood_top(rng: random.Random, factor: float):
    """A table top: bent grain bands."""
    s = Shader(factor)
    light, dark = wood_colours(rng)
    at = s.add("ShaderNodeMapping", Vector=s.at, Scale=(1.2, 9, 1)).outputs[0]
    wave = s.add(
        "ShaderNodeTexWave", Vector=at, Scale=rng.uniform(0.6, 1.5), Distortion=rng.uniform(6, 14),
        Detail=3, Detail_Scale=1.2,
    )  # fmt: skip
    wave.bands_direction = "Y"
    fine = s.ramp(s.noise(30, 5, (1, 18, 1)), 0.35, 0.7)
    colour = s.mix(0.5, s.mix(wave.outputs["Fac"], light, dark),
                   s.mix(fine, (0.5, 0.45, 0.4), (1, 1, 1)), "MULTIPLY")  # fmt: skip
    return s.finish(colour, rng.uniform(0.2, 0.55))


def tiles(rng: random.Random, factor: float, size: tuple[float, float] = (0.12, 0.5)):
    """Ceramic tiles with grout, sometimes of two colours."""
    s = Shader(factor)
    side = rng.uniform(*size)
    base = hsv(rng.random(), rng.uniform(0, 0.25), rng.choice((0.75, 0.55, 0.3, 0.12)))
    other = base if rng.random() < 0.6 else hsv(rng.random(), 0.3, rng.uniform(0.1, 0.7))
    brick = s.add(
        "ShaderNodeTexBrick", Vector=s.at, Scale=1, Mortar_Size=side * 0.02,
        Brick_Width=side, Row_Height=side * rng.choice((1, 1, 0.5)),
    )  # fmt: skip
    brick.offset = rng.choice((0, 0, 0.5))
    grout = rng.choice((0.15, 0.45, 0.7))
    shade = [c * 0.8 for c in other]
    for name, c in (("Color1", base), ("Color2", shade), ("Mortar", [grout] * 3)):
        brick.inputs[name].default_value = (*c, 1)
    cloud = s.ramp(s.noise(rng.uniform(4, 12), 6), 0.2, 0.8)
    colour = s.mix(0.35, brick.outputs["Color"], s.mix(cloud, (0.5, 0.48, 0.45), (1, 1, 1)),
                   "MULTIPLY")  # fmt: skip
    return s.finish(colour, rng.uniform(0.12, 0.5))


def carpet(rng: random.Random, factor: float):
    """A fluffy ground, plain, with cells or with stripes."""
    s = Shader(factor)
    base = hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.12, 0.55))
    dark = tuple(c * 0.55 for c in base)
    fluff = s.noise(260, 4)
    ground: object = s.mix(s.ramp(s.noise(9, 4), 0.3, 0.7), base, tuple(c * 0.8 for c in base))
    style = rng.random()
    if style < 0.35:  # a pattern of cells
        cell = s.add("ShaderNodeTexVoronoi", Vector=s.at, Scale=rng.uniform(4, 10))
        edge = s.ramp(cell.outputs["Distance"], 0.25, 0.32)
        ground = s.mix(edge, hsv(rng.random(), 0.4, rng.uniform(0.2, 0.6)), ground)
    elif style < 0.6:  # stripes
        wave = s.add("ShaderNodeTexWave", Vector=s.at, Scale=rng.uniform(0.7, 2.5))
        band = s.ramp(wave.outputs["Fac"], 0.45, 0.55)
        ground = s.mix(band, hsv(rng.random(), 0.35, rng.uniform(0.15, 0.7)), ground)
    colour = s.mix(s.ramp(fluff, 0.35, 0.65), s.mix(0.6, ground, dark), ground)
    return s.finish(colour, 0.95, fluff, 0.6)


def cloth(rng: random.Random, factor: float):
    """A checked or plain table cloth."""
    s = Shader(factor)
    base, other = (0.75, 0.73, 0.7), hsv(rng.random(), rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.6))
    scale = rng.uniform(8, 25)
    colour: object = base if rng.random() < 0.7 else other
    for direction in "XY":
        wave = s.add("ShaderNodeTexWave", Vector=s.at, Scale=scale / 6)
        wave.bands_direction = direction
        band = s.ramp(wave.outputs["Fac"], 0.48, 0.52)
        fac = s.add("ShaderNodeMath").outputs[0]
        fac.node.operation = "MULTIPLY"
        s.tree.links.new(band, fac.node.inputs[0])
        fac.node.inputs[1].default_value = 0.5
        colour = s.mix(fac, colour, other)
    weave = s.noise(400, 2)
    return s.finish(colour, 0.9, weave, 0.3)


def stone_top(rng: random.Random, factor: float):
    """A kitchen top: marble veins or granite grains."""
    s = Shader(factor)
    value = rng.choice((0.75, 0.6, 0.25, 0.06))
    base = hsv(rng.uniform(0.05, 0.15), rng.uniform(0, 0.15), value)
    if rng.random() < 0.5:
        wave = s.add("ShaderNodeTexWave", Vector=s.at, Scale=1.5, Distortion=18, Detail=6)
        vein = s.ramp(wave.outputs["Fac"], 0.0, 0.25)
        colour = s.mix(vein, tuple(c * 0.55 + 0.05 for c in base), base)
    else:
        grain = s.ramp(s.noise(160, 3), 0.4, 0.6)
        bright = tuple(min(c * 1.2, 0.85) for c in base)
        colour = s.mix(grain, tuple(c * 0.45 for c in base), bright)
    return s.finish(colour, rng.uniform(0.1, 0.35))


def paint(rng: random.Random, factor: float):
    """A painted wall, slightly stained."""
    s = Shader(factor)
    if rng.random() < 0.5:
        base = hsv(rng.uniform(0.05, 0.16), rng.uniform(0.0, 0.18), rng.uniform(0.5, 0.8))
    else:
        base = hsv(rng.random(), rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.6))
    stain = s.ramp(s.noise(1.3, 4), 0.3, 0.75)
    colour = s.mix(stain, tuple(c * 0.87 for c in base), base)
    return s.finish(colour, 0.8, s.noise(120, 3), 0.12)


def wallpaper(rng: random.Random, factor: float):
    """Stripes or a grid of soft spots."""
    s = Shader(factor)
    hue = rng.random()
    base = hsv(hue, rng.uniform(0.05, 0.35), rng.uniform(0.35, 0.75))
    ink = hsv(hue + rng.uniform(-0.1, 0.1), rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.8))
    if rng.random() < 0.5:
        wave = s.add("ShaderNodeTexWave", Vector=s.at, Scale=rng.uniform(1.0, 4.0))
        wave.bands_direction = "X"
        edge = s.ramp(wave.outputs["Fac"], 0.45, 0.52)
    else:
        cell = s.add("ShaderNodeTexVoronoi", Vector=s.at, Scale=rng.uniform(5, 12), Randomness=0.15)
        cell.feature = rng.choice(("F1", "DISTANCE_TO_EDGE"))
        low = rng.uniform(0.2, 0.35) if cell.feature == "F1" else 0.08
        edge = s.ramp(cell.outputs["Distance"], low, low + 0.03)
    colour = s.mix(edge, ink, base)
    return s.finish(s.mix(0.25, colour, base), 0.85, s.noise(200, 2), 0.1)


def bricks(rng: random.Random, factor: float):
    """A bare or painted brick wall."""
    s = Shader(factor)
    base = rng.choice(((0.3, 0.1, 0.06), (0.65, 0.63, 0.6), (0.32, 0.22, 0.15)))
    brick = s.add(
        "ShaderNodeTexBrick", Vector=s.at, Scale=1, Mortar_Size=0.006, Mortar_Smooth=0.3,
        Brick_Width=0.22, Row_Height=0.075,
    )  # fmt: skip
    for name, c in (("Color1", base), ("Color2", [x * 0.6 for x in base]), ("Mortar", [0.4] * 3)):
        brick.inputs[name].default_value = (*c, 1)
    rough = s.ramp(s.noise(30, 6), 0.2, 0.8)
    colour = s.mix(0.5, brick.outputs["Color"], s.mix(rough, (0.5, 0.5, 0.5), (1, 1, 1)),
                   "MULTIPLY")  # fmt: skip
    return s.finish(colour, 0.9, brick.outputs["Fac"], -0.4)


def wall_tiles(rng: random.Random, factor: float):
    """The small tiles of a kitchen or bathroom wall."""
    return tiles(rng, factor, (0.08, 0.2))


FLOORS = (planks, planks, tiles, carpet, planks, carpet)
TOPS = (wood_top, wood_top, stone_top, cloth, planks)
WALLS = (paint, paint, paint, wallpaper, wallpaper, bricks, wall_tiles)


def sheet(corners: list[tuple[float, float, float]], material, at=(0, 0, 0), turn=(0, 0, 0)):
    """A flat four-cornered sheet; its own frame is the texture's frame."""
    mesh = bpy.data.meshes.new("stage")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    mesh.materials.append(material)
    obj = bpy.data.objects.new("stage", mesh)
    obj.location, obj.rotation_euler = at, turn
    bpy.context.scene.collection.objects.link(obj)
    return obj


def flat(width: float, height: float) -> list[tuple[float, float, float]]:
    """The corners of a rectangle around the origin."""
    w, h = width / 2, height / 2
    return [(-w, -h, 0), (w, -h, 0), (w, h, 0), (-w, h, 0)]


def backdrop(colour: list[float]) -> None:
    """A studio ground that bends up into a back wall, without a seam."""
    s = Shader()
    material = s.finish((*colour, 1), 0.9)
    radius, back, half = 2.5, 2.2, 20.0
    profile = [(-12.0, 0.0)]
    for i in range(13):
        a = math.pi / 2 * i / 12
        profile.append((back + radius * math.sin(a), radius * (1 - math.cos(a))))
    profile.append((back + radius, 14.0))
    points = [(x, y, z) for y, z in profile for x in (-half, half)]
    faces = [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(profile) - 1)]
    mesh = bpy.data.meshes.new("stage")
    mesh.from_pydata(points, [], faces)
    for poly in mesh.polygons:
        poly.use_smooth = True
    mesh.materials.append(material)
    obj = bpy.data.objects.new("stage", mesh)
    bpy.context.scene.collection.objects.link(obj)


def furnish_room(
    rng: random.Random,
    factor: float,
    walls: tuple[float, float | None],
    place: str,
    look: int,
) -> None:
    """Ground, back wall, perhaps a side wall; a skirting board, pictures and a rug at times.

    ``walls``: where the back wall stands on y, and the side wall, if any, on x.
    """
    wall_y, side_x = walls
    grounds = TOPS if place == "table" else FLOORS
    ground = grounds[look % len(grounds)](rng, factor)
    turn = rng.choice((0, math.pi / 2, rng.uniform(0, math.pi)))
    sheet(flat(60, 60), ground, (0, 0, 0), (0, 0, turn))
    wall = WALLS[(look // 7) % len(WALLS)](rng, factor)
    upright = math.pi / 2
    sheet(flat(60, 30), wall, (0, wall_y, 0), (upright, 0, 0))
    if side_x is not None:
        sheet(flat(60, 30), wall, (side_x, 0, 0), (upright, 0, upright))
    if place != "table" and rng.random() < 0.75:
        board = Shader().finish((*rng.choice(((0.7, 0.7, 0.68), (0.2, 0.11, 0.06))), 1), 0.4)
        high = rng.uniform(0.06, 0.13) * factor
        sheet(flat(60, 2 * high), board, (0, wall_y - 0.004, 0), (upright, 0, 0))
        if side_x is not None:
            inner = side_x - math.copysign(0.004, side_x)
            sheet(flat(60, 2 * high), board, (inner, 0, 0), (upright, 0, upright))
    if place in ("floor", "hang") and rng.random() < 0.3:
        size = (rng.uniform(1.4, 2.4), rng.uniform(1.0, 1.7))
        at = (rng.uniform(-0.4, 0.4), rng.uniform(-0.8, wall_y - size[1] / 2 - 0.05), 0.003)
        sheet(flat(*size), carpet(rng, factor), at, (0, 0, rng.gauss(0, 0.2)))
    for _ in range(rng.choice((0, 1, 1, 2))):
        wide, high = rng.uniform(0.25, 0.8), rng.uniform(0.25, 0.7)
        at = (rng.uniform(-1.6, 1.6), wall_y - 0.01, rng.uniform(0.7, 1.6))
        frame = Shader().finish((*hsv(0.08, rng.random() * 0.6, rng.random() * 0.5), 1), 0.4)
        sheet(flat(wide, high), frame, at, (upright, 0, 0))
        art = rng.choice((wallpaper, stone_top, carpet))(rng, 1.0)
        inner = (at[0], at[1] - 0.004, at[2])
        sheet(flat(wide * 0.85, high * 0.82), art, inner, (upright, 0, 0))
