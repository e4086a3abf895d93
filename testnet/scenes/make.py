"""Makes the testnet's scenes. Blender runs this, any version from 2.93 to 5.x:

    blender -b --factory-startup --python-exit-code 1 -P make.py -- SCENE OUT.blend [OPTION...]

SCENE is one of
    sample  a field of blocks with a wave running through it; loops; two seconds of one core a frame
    short   one turning block; about 0.2 s a frame, so that what a farm adds can be seen
    slow    the same block with so many samples that a frame outlives any test that ends it
"""

import argparse
import colorsys
import math
import os
import sys

import bpy

# Picture size in pixels, Cycles samples, frames: what each scene is unless an option says otherwise.
DEFAULTS = {
    "sample": (384, 216, 12, 24),
    "short": (240, 135, 16, 24),
    "slow": (320, 180, 1_000_000, 24),
}

BLOCKS_A_SIDE = 11
BLOCK_PITCH = 1.08
WAVE_LENGTH = 7.0
WAVE_HEIGHT = 1.1


def material(name, rgb, roughness=0.35, metallic=0.0):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    surface = next(node for node in made.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    surface.inputs["Base Color"].default_value = (*rgb, 1.0)
    surface.inputs["Roughness"].default_value = roughness
    surface.inputs["Metallic"].default_value = metallic
    return made


def rounded_block(size, height):
    """A block whose edges catch the light, standing on its origin."""
    bpy.ops.mesh.primitive_cube_add(size=1.0)
    block = bpy.context.object
    block.scale = (size, size, height)
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    bevel = block.modifiers.new("edges", "BEVEL")
    bevel.width = 0.07
    bevel.segments = 2
    bpy.ops.object.modifier_apply(modifier=bevel.name)
    return block


def key_linear(owner, path, frames_and_values):
    for frame, value in frames_and_values:
        setattr(owner, path, value)
        owner.keyframe_insert(path, frame=frame)


def light_from_above(size, energy, location):
    bpy.ops.object.light_add(type="AREA", location=location)
    lamp = bpy.context.object
    lamp.data.size = size
    lamp.data.energy = energy
    lamp.rotation_euler = (math.radians(28), math.radians(-18), 0.0)


def sky(rgb, strength):
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (*rgb, 1.0)
    background.inputs["Strength"].default_value = strength
    bpy.context.scene.world = world


def camera(location, target, focal_length_mm):
    """A camera at `location` that looks at the empty object which this returns."""
    bpy.ops.object.empty_add(location=target)
    aim = bpy.context.object
    bpy.ops.object.camera_add(location=location)
    made = bpy.context.object
    made.data.lens = focal_length_mm
    follow = made.constraints.new("TRACK_TO")
    follow.target = aim
    follow.track_axis = "TRACK_NEGATIVE_Z"
    follow.up_axis = "UP_Y"
    bpy.context.scene.camera = made
    return aim


def sample(frames):
    """A wave runs outwards through a field of blocks; after the last frame it is the first again."""
    middle = (BLOCKS_A_SIDE - 1) / 2
    first = rounded_block(1.0, 3.0)
    for column in range(BLOCKS_A_SIDE):
        for row in range(BLOCKS_A_SIDE):
            x, y = (column - middle) * BLOCK_PITCH, (row - middle) * BLOCK_PITCH
            distance = math.hypot(x, y)
            hue = (0.52 + 0.045 * distance) % 1.0
            block = first.copy()
            block.data = first.data.copy()
            bpy.context.collection.objects.link(block)
            block.data.materials.append(
                material("block", colorsys.hsv_to_rgb(hue, 0.72, 0.85))
            )

            def height(frame):
                phase = distance / WAVE_LENGTH - (frame - 1) / frames
                return WAVE_HEIGHT * math.cos(2 * math.pi * phase) - 1.5

            key_linear(
                block,
                "location",
                [(frame, (x, y, height(frame))) for frame in range(1, frames + 1)],
            )
    bpy.data.objects.remove(first)

    bpy.ops.mesh.primitive_uv_sphere_add(radius=1.15, segments=48, ring_count=24)
    ball = bpy.context.object
    bpy.ops.object.shade_smooth()
    ball.data.materials.append(material("gold", (1.0, 0.72, 0.28), 0.16, 1.0))
    key_linear(
        ball,
        "location",
        [
            (frame, (0.0, 0.0, 2.5 + WAVE_HEIGHT * math.cos(2 * math.pi * (frame - 1) / frames)))
            for frame in range(1, frames + 1)
        ],
    )

    light_from_above(7.0, 850.0, (-4.0, -5.0, 9.0))
    sky((0.55, 0.68, 0.95), 0.55)
    camera((9.5, -11.5, 8.8), (0.0, 0.0, 0.75), 42)


def block_alone(frames):
    """One block, once around."""
    block = rounded_block(1.6, 1.6)
    block.data.materials.append(material("block", (0.9, 0.32, 0.18)))
    key_linear(
        block,
        "rotation_euler",
        [(frame, (0.4, 0.3, 2 * math.pi * (frame - 1) / frames)) for frame in range(1, frames + 1)],
    )
    light_from_above(4.0, 400.0, (-3.0, -3.0, 6.0))
    sky((0.62, 0.75, 1.0), 0.6)
    camera((0.0, -6.0, 1.6), (0.0, 0.0, 0.0), 50)


def render_settings(width_px, height_px, samples, frames):
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, frames
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = width_px, height_px
    scene.render.resolution_percentage = 100
    scene.render.fps = 12
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.max_bounces = 3
    # Debian's Blender is built without a denoiser, and fails where a scene asks for one.
    scene.cycles.use_denoising = False
    # Noise thresholds would end a slow frame early and make a short one's time depend on luck.
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.sample_clamp_indirect = 3.0


def main():
    words = sys.argv[sys.argv.index("--") + 1 :]
    parser = argparse.ArgumentParser(prog="make.py")
    parser.add_argument("scene", choices=sorted(DEFAULTS))
    parser.add_argument("out", help="the .blend file to write")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--samples", type=int)
    wanted = parser.parse_args(words)
    width_px, height_px, samples, frames = DEFAULTS[wanted.scene]
    frames = wanted.frames or frames

    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    if wanted.scene == "sample":
        sample(frames)
    else:
        block_alone(frames)
    render_settings(width_px, height_px, wanted.samples or samples, frames)
    bpy.ops.wm.save_as_mainfile(filepath=os.path.abspath(wanted.out), compress=True)


main()
