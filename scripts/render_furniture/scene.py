"""Render product photos; runs inside Blender: ``blender -b -P scene.py -- jobs.json PART``.

``jobs.json`` (written by make.py) lists every photo. One process renders all photos of its
part, since Blender's start costs more than a photo. A photo is three files: the raw picture,
a mask of the product's visible pixels and, written last, a note in JSON with its box.
Only bpy, mathutils and the numpy that Blender brings are needed.
"""

from __future__ import annotations

import colorsys
import json
import math
import random
import sys
from pathlib import Path

import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

sys.path.insert(0, str(Path(__file__).parent))
from furniture import POINTS, Colour, Model, Shelf, linear, repaint
from room import backdrop, furnish_room


def set_up() -> None:
    """An empty scene with the render settings and the compositor that writes the mask."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.use_denoising = False
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.06
    cycles.adaptive_min_samples = 8
    cycles.max_bounces = 5
    cycles.diffuse_bounces = 2
    cycles.glossy_bounces = 2
    cycles.transmission_bounces = 4
    cycles.transparent_max_bounces = 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_direct = 8
    cycles.sample_clamp_indirect = 2
    scene.render.use_persistent_data = False
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.image_settings.compression = 30
    scene.view_layers[0].use_pass_object_index = True
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    layers = tree.nodes.new("CompositorNodeRLayers")
    out = tree.nodes.new("CompositorNodeComposite")
    mask = tree.nodes.new("CompositorNodeIDMask")
    mask.index = 1
    file = tree.nodes.new("CompositorNodeOutputFile")
    file.name = "mask"
    file.format.file_format = "PNG"
    file.format.color_mode = "BW"
    file.format.color_depth = "8"
    tree.links.new(layers.outputs["Image"], out.inputs[0])
    tree.links.new(layers.outputs["IndexOB"], mask.inputs[0])
    tree.links.new(mask.outputs[0], file.inputs[0])
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(scene.camera)


def add_light(
    kind: str, at: Vector, target: Vector, watts: float, *, size: float, rgb: Colour
) -> None:
    """Add a light that clear_stage removes again."""
    data = bpy.data.lights.new("stage", kind)
    data.energy = watts
    data.color = rgb
    if kind == "AREA":
        data.size = size
    else:
        data.shadow_soft_size = size
    obj = bpy.data.objects.new("stage", data)
    obj.location = at
    obj.rotation_euler = (target - at).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(obj)


def clear_stage() -> None:
    """Remove all that was built for one photo (named ``stage``)."""
    for obj in [o for o in bpy.data.objects if o.name.startswith("stage")]:
        bpy.data.objects.remove(obj)
    for blocks in (bpy.data.meshes, bpy.data.lights, bpy.data.materials):
        for block in [b for b in blocks if b.name.startswith("stage") and not b.users]:
            blocks.remove(block)


def world_light(strength: float, rgb: Colour) -> None:
    """Light from all around."""
    node = bpy.context.scene.world.node_tree.nodes["Background"]
    node.inputs["Color"].default_value = (*rgb, 1)
    node.inputs["Strength"].default_value = strength


def from_angles(azimuth: float, elevation: float, distance: float) -> Vector:
    """A point seen from the origin at these degrees; azimuth 0 is the front, -y."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return distance * Vector((math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)))


def aim(shot: dict, points: list[Vector]) -> np.ndarray:
    """Point the camera so that ``points`` fill the wanted part of the frame; their places."""
    scene, camera = bpy.context.scene, bpy.context.scene.camera
    lens = camera.data
    lens.sensor_width = 36
    lens.lens = shot["lens"]
    lens.clip_start, lens.clip_end = 0.02, 200
    lens.shift_x = lens.shift_y = 0
    scene.render.resolution_x, scene.render.resolution_y = shot["frame"]
    xyz = np.array(points)
    target = Vector((xyz.min(0) + xyz.max(0)) / 2)
    direction = from_angles(shot["azimuth"], shot["elevation"], 1)
    distance = 3.0
    look_at = (-direction).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    look_at = look_at @ Matrix.Rotation(math.radians(shot["roll"]), 4, "Z")
    at = np.zeros((len(points), 3))
    for _ in range(6):
        at = target + direction * distance
        at.z = max(at.z, 0.12)
        camera.matrix_world = Matrix.Translation(at) @ look_at
        seen = np.array([world_to_camera_view(scene, camera, p) for p in points])
        if seen[:, 2].min() < 0.05:
            distance *= 1.5
            continue
        spread = np.ptp(seen[:, :2], 0)
        distance *= float(max(spread)) / shot["fill"]
    if camera.location.z <= 0.121:
        look_at = (target - camera.location).to_track_quat("-Z", "Y").to_matrix().to_4x4()
        camera.matrix_world = Matrix.Translation(camera.location) @ look_at
    seen = np.array([world_to_camera_view(scene, camera, p) for p in points])
    middle = (seen[:, :2].min(0) + seen[:, :2].max(0)) / 2
    side = max(shot["frame"])
    lens.shift_x = (middle[0] - shot["centre"][0]) * shot["frame"][0] / side
    lens.shift_y = (middle[1] - shot["centre"][1]) * shot["frame"][1] / side
    return np.array([world_to_camera_view(scene, camera, p) for p in points])


def visible(product: Model, points: list[Vector], seen: np.ndarray) -> tuple[float, float]:
    """Shares of the product's points inside the frame, and not behind another object."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    seen = seen[:POINTS]
    inside = (seen[:, 2] > 0) & (seen[:, :2] > 0).all(1) & (seen[:, :2] < 1).all(1)
    own = {o.name for o in product.objects}
    eye = scene.camera.matrix_world.translation
    clear = tried = 0
    for point in [p for p, ok in zip(points[:POINTS], inside, strict=True) if ok][:160]:
        ray = point - eye
        hit, *_, obj, _ = scene.ray_cast(
            graph, eye, ray.normalized(), distance=max(ray.length - 0.004, 0.01)
        )
        tried += 1
        clear += not hit or obj.name in own
    return float(inside.mean()), clear / max(tried, 1)


def seller_photo(product: Model, shot: dict, points: np.ndarray) -> dict:
    """A studio shot: the product alone on a light ground, soft light."""
    rng = random.Random(shot["seed"])
    factor = 1 / max(product.size)
    lift = {"hang": 0.35, "wall": 0.12}.get(product.entry["place"], 0)
    product.place(factor, (0, 0, lift), 0)
    grey = rng.uniform(0.86, 0.94)
    tint = [grey, grey * rng.uniform(0.98, 1), grey * rng.uniform(0.95, 1)]
    backdrop(tint if shot["style"] else [0.93] * 3)
    world_light(rng.uniform(0.3, 0.42), (1, 1, 1))
    target = Vector((0, 0, 0.4))
    side = rng.choice((-1, 1))
    add_light("AREA", from_angles(side * 45, 50, 4.5), target, 95, size=1.8, rgb=(1, 0.98, 0.95))
    add_light("AREA", from_angles(-side * 60, 30, 5), target, 22, size=3.0, rgb=(0.95, 0.98, 1))
    where = [product.matrix @ Vector(p) for p in points]
    seen = aim(shot, where)
    inside, clear = visible(product, where, seen)
    return {"inside": inside, "clear": clear}


def user_photo(product: Model, shot: dict, points: np.ndarray, shelf: Shelf) -> dict:
    """A snapshot in a room: try arrangements until the product can be seen well enough."""
    best: tuple[float, int] | None = None
    for attempt in range(25):
        state = arrange(product, shot, points, shelf, attempt)
        if state["inside"] >= (0.78 if shot["cut"] else 0.97) and state["clear"] >= 0.72:
            return state
        score = min(state["inside"], 0.97) + min(state["clear"], 0.9)
        if best is None or score > best[0]:
            best = (score, attempt)
    return {**arrange(product, shot, points, shelf, best[1]), "poor": True}


def arrange(product: Model, shot: dict, points: np.ndarray, shelf: Shelf, attempt: int) -> dict:
    """Build the room, light, camera and clutter of one attempt; how well the product shows."""
    factor = 1 / max(product.size)
    place = product.entry["place"]
    rng = random.Random(f"{shot['seed']} {attempt}")
    clear_stage()
    shelf.hide()
    spread = 18 if place in ("floor", "wall") else 60
    turn = math.radians(rng.uniform(-spread, spread) if place != "wall" else 0)
    half = product.size[:2] * factor / 2
    reach_y = abs(math.sin(turn)) * half[0] + abs(math.cos(turn)) * half[1]
    reach_x = abs(math.cos(turn)) * half[0] + abs(math.sin(turn)) * half[1]
    lift = {"hang": rng.uniform(0.5, 1.1), "wall": rng.uniform(0.1, 0.6)}.get(place, 0.0)
    gap = {"floor": rng.uniform(0.03, 0.7), "table": rng.uniform(0.3, 2.2), "wall": 0.005}
    wall_y = reach_y + gap.get(place, rng.uniform(0.3, 1.2))
    product.place(factor, (0, 0, lift), turn)
    where = [product.matrix @ Vector(p) for p in points]
    seen = aim(shot | choose_view(rng, place, shot["cut"]), where)
    eye = bpy.context.scene.camera.matrix_world.translation
    key_side = rng.choice((-1, 1))
    side_wall = -key_side * (reach_x + rng.uniform(0.4, 1.8)) if rng.random() < 0.6 else None
    furnish_room(rng, factor, (wall_y, side_wall), place, shot["look"])
    light(rng, shot, key_side, eye)

    names = [m for m in shelf.near(rng, max(product.size)) if m != product.entry["model"]]
    taken = [(0.0, 0.0, float(math.hypot(*half)) * 0.85)]
    front = rng.random() < 0.55 and place != "hang"
    for k, name in enumerate(names[: rng.randint(3, 5)]):
        other = shelf.get(name)
        radius = float(np.hypot(*other.size[:2])) * factor / 2 * 0.85
        for _ in range(12):
            if k == 0 and front:  # between the camera and an edge of the product
                t = rng.uniform(0.25, 0.5)
                across = Vector((eye.y, -eye.x, 0)).normalized()
                off = across * rng.choice((-1, 1)) * reach_x * rng.uniform(0.5, 1.1)
                x, y = eye.x * t + off.x, eye.y * t + off.y
            else:
                x = rng.choice((-1, 1)) * (reach_x + radius * rng.uniform(0.9, 1.9))
                y = rng.uniform(-0.3, wall_y)
            y = min(y, wall_y - float(other.size[1]) * factor / 2 - 0.01)
            if side_wall is not None and abs(x) + radius > abs(side_wall) and x * side_wall > 0:
                continue
            if all(math.hypot(x - a, y - b) > radius + r for a, b, r in taken):
                taken.append((x, y, radius))
                other.place(factor, (x, y, 0), rng.gauss(0, 0.4))
                other.show(True, 2)
                break
    inside, clear = visible(product, where, seen)
    return {"inside": inside, "clear": clear, "attempt": attempt}


def choose_view(rng: random.Random, place: str, cut: bool) -> dict:
    """A phone's viewpoint: hand height, wide lens, a little askew; ``cut`` by the frame or not."""
    low, high = {"floor": (6, 34), "table": (12, 50), "wall": (-6, 18), "hang": (-22, 8)}[place]
    view = {
        "elevation": rng.uniform(low, high),
        "azimuth": rng.choice((-1, 1)) * rng.uniform(8, 58),
        "roll": rng.gauss(0, 3),
        "lens": rng.uniform(24, 34),
        "fill": rng.uniform(0.4, 0.82),
        "centre": [0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.08, 0.08)],
    }
    if cut:
        view["fill"] = rng.uniform(0.85, 1.02)
        view["centre"] = [0.5 + rng.choice((-1, 1)) * rng.uniform(0.1, 0.18), 0.5]
    return view


def light(rng: random.Random, shot: dict, side: int, eye: Vector) -> None:
    """Daylight from a window, lamps in the evening, or a phone's flash in a dim room."""
    target = Vector((0, 0, 0.3))
    mood = shot["mood"]
    warm = colorsys.hsv_to_rgb(0.09, rng.uniform(0.25, 0.5), 1)
    cool = colorsys.hsv_to_rgb(0.58, rng.uniform(0.02, 0.15), 1)
    at = from_angles(side * rng.uniform(25, 85), rng.uniform(25, 60), rng.uniform(3, 4))
    if mood == "day":
        world_light(rng.uniform(0.2, 0.5), cool)
        add_light("AREA", at, target, rng.uniform(70, 160), size=rng.uniform(0.8, 2), rgb=cool)
    elif mood == "lamp":
        world_light(rng.uniform(0.06, 0.16), warm)
        over = Vector((rng.uniform(-1, 1), rng.uniform(-1.2, 0.2), rng.uniform(2, 2.8)))
        add_light(
            "POINT", over, target, rng.uniform(80, 160), size=rng.uniform(0.15, 0.4), rgb=warm
        )
    else:
        world_light(0.05, warm)
        phone = eye + Vector((0.06, 0, 0.05))
        add_light("POINT", phone, target, 40 * max(eye.length, 1) ** 2, size=0.03, rgb=(1, 1, 1))
        add_light("POINT", Vector((side, -1, 2.4)), target, 20, size=0.3, rgb=warm)


def box_of(mask: Path) -> tuple[list[int], float]:
    """The tight box (x, y, w, h) of a written mask, from the top left, and its filled share."""
    image = bpy.data.images.load(str(mask))
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    on = pixels.reshape(height, width, -1)[::-1, :, 0] > 0.4
    ys, xs = np.nonzero(on)
    if not len(xs):
        return [0, 0, 0, 0], 0.0
    x, y = int(xs.min()), int(ys.min())
    return [x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1], float(on.mean())


def render(shot: dict, raw: Path, state: dict) -> None:
    """Render, write the picture and mask beside their places, rename, and note the box last."""
    scene = bpy.context.scene
    scene.cycles.samples = shot["samples"]
    scene.cycles.seed = shot["seed"] % 100000
    scene.view_settings.view_transform = "Standard" if shot["kind"] == "seller" else "Filmic"
    scene.view_settings.look = "None"
    scene.view_settings.exposure = 0
    part = raw / f".{shot['name']}.part.png"
    scene.render.filepath = str(part)
    file = scene.node_tree.nodes["mask"]
    file.base_path = str(raw)
    file.file_slots[0].path = f".{shot['name']}.mask"
    bpy.ops.render.render(write_still=True)
    mask = raw / f".{shot['name']}.mask{scene.frame_current:04d}.png"
    box, share = box_of(mask)
    part.replace(raw / f"{shot['name']}.png")
    mask.replace(raw / f"{shot['name']}-mask.png")
    note = raw / f".{shot['name']}.part.json"
    note.write_text(json.dumps({"box": box, "share": share, **state, "shot": shot}))
    note.replace(raw / f"{shot['name']}.json")


def main() -> None:
    """Render this process's part of the jobs."""
    jobs = json.loads(Path(sys.argv[-2]).read_text())
    raw, catalogue = Path(jobs["raw"]), jobs["catalogue"]
    shelf = Shelf(catalogue)
    for number, shots in enumerate(jobs["parts"][int(sys.argv[-1])]):
        if number % 8 == 0:
            set_up()  # drops all imported models, so that memory stays small
            shelf = Shelf(catalogue)
        for shot in shots:
            product = Model(catalogue[shot["model"]])
            points = product.surface(np.random.default_rng(shot["seed"]))
            if shot["colour"]:
                for material in product.main_materials():
                    repaint(material, linear(shot["colour"]))
            clear_stage()
            shelf.hide()
            product.show(True, 1)
            if shot["kind"] == "seller":
                state = seller_photo(product, shot, points)
            else:
                state = user_photo(product, shot, points, shelf)
            render(shot, raw, state)
            print(f"done {shot['name']} {state}", flush=True)
            for obj in product.objects:
                bpy.data.objects.remove(obj)


if __name__ == "__main__":
    main()
