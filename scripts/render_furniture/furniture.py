"""The models of the collection inside Blender: importing, measuring, softening, recolouring."""

from __future__ import annotations

import math
import random

import bpy
import numpy as np
from mathutils import Matrix, Vector

Colour = tuple[float, float, float]
Y_UP = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
POINTS = 350  # surface points sampled per product to judge framing and occlusion


class Model:
    """An imported model: its objects, brought to the catalogue's size with its foot at 0."""

    def __init__(self, entry: dict) -> None:
        before = set(bpy.data.objects)
        bpy.ops.wm.obj_import(filepath=entry["obj"])
        self.objects = [o for o in bpy.data.objects if o not in before and o.type == "MESH"]
        turn = Matrix.Identity(4)
        if entry["rotation"]:
            rows = np.array(entry["rotation"]).reshape(3, 3)
            turn = Y_UP @ Matrix(rows.tolist()).to_4x4() @ Y_UP.inverted()
        bases = [turn @ o.matrix_world for o in self.objects]
        low, high = np.full(3, 1e9), np.full(3, -1e9)
        for obj, base in zip(self.objects, bases, strict=True):
            xyz = vertices(obj) @ np.array(base)[:3, :3].T + np.array(base)[:3, 3]
            low, high = np.minimum(low, xyz.min(0)), np.maximum(high, xyz.max(0))
        self.size = np.array(entry["size"])
        scale = self.size / np.maximum(high - low, 1e-6)
        middle = Vector(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))
        norm = Matrix.Diagonal((*scale, 1)) @ Matrix.Translation(-middle)
        self.bases = [norm @ base for base in bases]
        self.entry = entry
        self.matrix = Matrix.Identity(4)
        for material in {s.material for o in self.objects for s in o.material_slots}:
            if material:
                soften(material)
        self.show(False)

    def show(self, on: bool, index: int = 0) -> None:
        """Put it into the scene or hide it; index 1 marks the product for the mask."""
        for obj in self.objects:
            obj.hide_render = obj.hide_viewport = not on
            obj.pass_index = index

    def place(self, factor: float, at: tuple[float, float, float], turn: float) -> None:
        """Stand it at a point, turned about the vertical, ``factor`` units per metre."""
        turned = Matrix.Rotation(turn, 4, "Z") @ Matrix.Scale(factor, 4)
        self.matrix = Matrix.Translation(at) @ turned
        for obj, base in zip(self.objects, self.bases, strict=True):
            obj.matrix_world = self.matrix @ base

    def surface(self, rng: np.random.Generator) -> np.ndarray:
        """Points in the model's own frame: spread over the surface, then the outermost ones."""
        parts, weights = [], []
        for obj, base in zip(self.objects, self.bases, strict=True):
            mesh = obj.data
            centre = np.empty(len(mesh.polygons) * 3, np.float32)
            area = np.empty(len(mesh.polygons), np.float32)
            mesh.polygons.foreach_get("center", centre)
            mesh.polygons.foreach_get("area", area)
            m = np.array(base)
            parts.append(centre.reshape(-1, 3) @ m[:3, :3].T + m[:3, 3])
            weights.append(area * abs(np.linalg.det(m[:3, :3])) ** (2 / 3) + 1e-12)
        points, weight = np.concatenate(parts), np.concatenate(weights)
        chosen = rng.choice(len(points), POINTS, p=weight / weight.sum())
        directions = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
        outermost = (points @ directions.T).argmax(0)
        return points[[*chosen, *outermost]]

    def main_materials(self) -> list[bpy.types.Material]:
        """The material with the most surface, and those of the same colour or texture."""
        area: dict[bpy.types.Material, float] = {}
        for obj, base in zip(self.objects, self.bases, strict=True):
            scale = abs(base.to_3x3().determinant()) ** (2 / 3)
            for poly in obj.data.polygons:
                material = obj.material_slots[poly.material_index].material
                if material:
                    area[material] = area.get(material, 0) + poly.area * scale
        named = self.entry.get("painted")
        if named:
            return [m for m in area if m.name.split(".")[0] in named]
        main = max(area, key=lambda m: area[m])
        return [m for m in area if look(m) == look(main)]


class Shelf:
    """The catalogue, and the models loaded so far to stand around products."""

    def __init__(self, catalogue: dict) -> None:
        self.catalogue = catalogue
        self.loaded: dict[str, Model] = {}

    def get(self, name: str) -> Model:
        """The model, loaded at its first use."""
        if name not in self.loaded:
            self.loaded[name] = Model(self.catalogue[name])
        return self.loaded[name]

    def hide(self) -> None:
        """Take all of them out of the scene."""
        for model in self.loaded.values():
            model.show(False)

    def near(self, rng: random.Random, size: float) -> list[str]:
        """Some models of about the product's size."""
        ratio = {m: max(e["size"]) / size for m, e in self.catalogue.items() if e["clutter"]}
        fit = [m for m, r in ratio.items() if 0.3 <= r <= 1.7]
        if len(fit) < 6:
            fit = sorted(ratio, key=lambda m: abs(math.log(ratio[m])))[:8]
        return rng.sample(fit, min(len(fit), 6))


def vertices(obj: bpy.types.Object) -> np.ndarray:
    """An object's vertices, in its own frame."""
    xyz = np.empty(len(obj.data.vertices) * 3, np.float32)
    obj.data.vertices.foreach_get("co", xyz)
    return xyz.reshape(-1, 3)


def shader(material: bpy.types.Material) -> bpy.types.Node | None:
    """The node that holds a material's colour."""
    return next((n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED"), None)


def look(material: bpy.types.Material) -> object:
    """What a material's colour comes from: materials that look alike share it."""
    node = shader(material)
    if node is None:
        return material.name
    base = node.inputs["Base Color"]
    if base.is_linked:
        image = getattr(base.links[0].from_node, "image", None)
        return image.name if image else material.name
    return tuple(round(c, 2) for c in base.default_value)


def soften(material: bpy.types.Material) -> None:
    """The files' colours are meant for a viewer without light transport: darken and dull."""
    node = shader(material)
    if node is None:
        return
    base = node.inputs["Base Color"]
    image = base.links[0].from_node.image if base.is_linked else None
    if base.is_linked and (image is None or not image.size[0]):
        material.node_tree.links.remove(base.links[0])  # a texture that is missing: plain colour
    if not base.is_linked:
        rgb = [min(c, 0.84) ** 1.5 for c in base.default_value[:3]]
        base.default_value = (*(max(c, 0.012) for c in rgb), 1)
    rough = node.inputs["Roughness"]
    if not rough.is_linked:
        rough.default_value = max(rough.default_value, 0.22)


def repaint(material: bpy.types.Material, colour: tuple[float, float, float]) -> None:
    """Give a material another colour; a texture keeps its light and dark."""
    node = shader(material)
    if node is None:
        return
    base, tree = node.inputs["Base Color"], material.node_tree
    if not base.is_linked:
        base.default_value = (*colour, 1)
        return
    grey = tree.nodes.new("ShaderNodeRGBToBW")
    tree.links.new(base.links[0].from_socket, grey.inputs[0])
    ramp = tree.nodes.new("ShaderNodeMapRange")
    ramp.inputs["From Max"].default_value = 0.6
    ramp.inputs["To Min"].default_value = 0.35
    ramp.inputs["To Max"].default_value = 1.25
    tree.links.new(grey.outputs[0], ramp.inputs["Value"])
    mix = tree.nodes.new("ShaderNodeMixRGB")
    mix.blend_type = "MULTIPLY"
    mix.inputs["Fac"].default_value = 1
    mix.inputs["Color1"].default_value = (*colour, 1)
    tree.links.new(ramp.outputs[0], mix.inputs["Color2"])
    tree.links.new(mix.outputs[0], base)


def linear(hex_colour: str) -> tuple[float, float, float]:
    """An sRGB colour such as ``#d9541e`` in linear light."""
    channels = (int(hex_colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (((c + 0.055) / 1.055) ** 2.4 if c > 0.04 else c / 12.92 for c in channels)
    return r, g, b
