"""Makes the small scenes of the runner's tests in a folder: blender … --python scenes.py -- FOLDER ARTIST

Every scene would write into the folder ARTIST if the artist rendered it.
"""

import os
import sys

import bpy

folder, artist = sys.argv[sys.argv.index("--") + 1 :]

scene = bpy.context.scene
render = scene.render
render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 48, 50
render.fps, render.fps_base = 30, 1.001
render.threads_mode, render.threads = "FIXED", 2
render.filepath = os.path.join(artist, "render_")
scene.frame_start, scene.frame_end = 1, 4
scene.cycles.samples = 1
scene.cycles.use_denoising = False
scene.eevee.taa_render_samples = 1

cube = bpy.data.objects["Cube"]
cube.keyframe_insert("rotation_euler", frame=1)
cube.rotation_euler = (0.5, 1.0, 1.5)
cube.keyframe_insert("rotation_euler", frame=4)

# From frame 3 on, another camera.
second = bpy.data.objects.new("Second camera", bpy.data.cameras.new("Second camera"))
second.location, second.rotation_euler = (0.0, 0.0, 9.0), (0.0, 0.0, 0.0)
scene.collection.objects.link(second)
for frame, camera in ((1, bpy.data.objects["Camera"]), (3, second)):
    scene.timeline_markers.new(camera.name, frame=frame).camera = camera

# The compositor writes a file of its own, from inside a group as well.
scene.use_nodes = True
source = scene.node_tree.nodes.new("CompositorNodeRLayers")
inner = bpy.data.node_groups.new("Inner", "CompositorNodeTree")
inner.inputs.new("NodeSocketColor", "Image")
inner_source = inner.nodes.new("NodeGroupInput")
group = scene.node_tree.nodes.new("CompositorNodeGroup")
group.node_tree = inner
scene.node_tree.links.new(source.outputs[0], group.inputs[0])
for tree, output, name in (
    (scene.node_tree, source.outputs[0], "outer"),
    (inner, inner_source.outputs[0], "inner"),
):
    target = tree.nodes.new("CompositorNodeOutputFile")
    target.base_path = os.path.join(artist, name)
    tree.links.new(output, target.inputs[0])


def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(folder, name + ".blend"))


for engine in ("CYCLES", "BLENDER_EEVEE", "BLENDER_WORKBENCH"):
    render.engine = engine
    save(engine.lower().replace("blender_", ""))

# All below is Workbench, which starts quickest, unless it must be Cycles.
render.use_border, render.use_crop_to_border = True, True
render.border_min_x, render.border_max_x = 0.13, 0.8
render.border_min_y, render.border_max_y = 0.26, 0.91
save("cropped")
render.use_crop_to_border = False
save("bordered")
render.use_border = False

picture = render.image_settings
picture.file_format = "OPEN_EXR"
save("exr")
picture.file_format = "FFMPEG"
save("movie")
picture.file_format, picture.color_mode, picture.color_depth = "PNG", "RGBA", "16"
save("deep")
picture.color_mode, picture.color_depth = "RGBA", "8"

render.use_multiview = True
save("stereo")
render.use_multiview = False

other = bpy.data.scenes.new("Other scene")
bpy.context.window.scene = other
other.camera = second
other.collection.objects.link(second)
other.render.engine = "BLENDER_WORKBENCH"
other.render.resolution_x, other.render.resolution_y = 20, 10
save("second_scene")
bpy.context.window.scene = scene
bpy.data.scenes.remove(other)

render.engine = "CYCLES"
scene.cycles.use_denoising = True
save("denoised")
scene.cycles.use_denoising = False
scene.cycles.samples = 1 << 24
scene.cycles.use_adaptive_sampling = False
save("endless")
scene.cycles.samples = 1
render.engine = "BLENDER_WORKBENCH"

scene.timeline_markers.clear()
camera, scene.camera = scene.camera, None
save("no_camera")
scene.camera = camera


class NobodyHasThis(bpy.types.RenderEngine):
    bl_idname = "NOBODY_HAS_THIS"
    bl_label = "Nobody has this"


bpy.utils.register_class(NobodyHasThis)
render.engine = "NOBODY_HAS_THIS"
save("unknown_engine")
