"""Runs inside Blender 2.93 to 5.x, or inside Python with the `bpy` module, and renders as told.

The node talks over file descriptor 0, a socket: newline-delimited JSON in both directions.
Blender reads nothing from its standard input when it runs in the background, so the socket needs
no descriptor of its own, and what Blender prints stays apart from what is said here.

Node to driver:   {"do": "devices"} | {"do": "open", "scene": PATH}
                  | {"do": "render", "frame": N, "folder": PATH}
Driver to node:   {"say": "ready", "version": "3.4.1"}
                  {"say": "devices", "devices": [{"kind", "name"}]}
                  {"say": "opened", "version", "engine", "scene", "width", "height",
                   "fps_numerator", "fps_denominator", "cropped"}
                  {"say": "progress", "text"}
                  {"say": "rendered", "file": PATH, "width", "height", "cropped"}
                  {"say": "failed", "kind", "message"}

Before each answer but progress, the line SYNC and the number of the answer goes to standard
output: what Blender printed for it stands before that line.
"""

import ctypes
import json
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time
from fractions import Fraction

SYNC = "jiggablend-sync"
PROGRESS_EVERY_S = 0.2


class Refused(Exception):
    """The node's command cannot be done: a kind for programs, a message for people."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind
        self.message = " ".join(message.split())


class Node:
    """The node at the other end of descriptor 0."""

    def __init__(self):
        self._socket = socket.socket(fileno=os.dup(0))
        # Whatever a scene starts must not be able to read or write here.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._commands = queue.Queue()
        self._answers = 0
        self._sending = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        """Takes commands in, and ends this process the moment that the node is gone.

        Blender lets other threads run while it loads, evaluates and renders.
        """
        try:
            with self._socket.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    self._commands.put(json.loads(line))
        except (OSError, ValueError):
            pass
        end_now()

    def next_command(self):
        return self._commands.get()

    def answer(self, what, **details):
        self._answers += 1
        flush_what_blender_printed()
        os.write(1, "\n{} {}\n".format(SYNC, self._answers).encode())
        self.say(what, **details)

    def say(self, what, **details):
        data = (json.dumps(dict(details, say=what)) + "\n").encode()
        with self._sending:
            self._socket.sendall(data)


def end_now():
    """Ends this process, and what it started, without any clean-up that could hang."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def flush_what_blender_printed():
    """Blender's own buffer too, which is C's, not Python's."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        ctypes.CDLL(None).fflush(None)
    except (OSError, AttributeError):
        pass


node = Node()

try:
    import bpy
    from bpy.app.handlers import persistent
except Exception as error:  # a broken `bpy` module raises what it likes
    node.answer("failed", kind="render_error", message="import bpy: {}".format(error))
    raise SystemExit(1)


def cycles_devices():
    """What Cycles can compute with. GPUs take their driver's time to answer."""
    try:
        import _cycles

        add_on = bpy.context.preferences.addons["cycles"].preferences
        kinds = [kind[0] for kind in add_on.get_device_types(bpy.context)]
    except (ImportError, KeyError, AttributeError):
        return []
    found = []
    for kind in ["CPU"] + [kind for kind in kinds if kind != "NONE"]:
        try:
            devices = _cycles.available_devices(kind)
        except Exception:  # a GPU's driver that is installed by half
            continue
        found += [
            {"kind": kind, "name": device[0]} for device in devices if device[1] == kind
        ]
    return found


def open_scene(path):
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise Refused("scene_unreadable", reason(error, path))
    scene = bpy.context.scene
    if scene is None:
        raise Refused("scene_unreadable", "the file has no scene")
    if scene.render.use_multiview:
        raise Refused(
            "render_error",
            "the scene renders several views of each frame, and a frame is one picture here: "
            "turn off Stereoscopy in its output properties",
        )
    keep_to_the_given_folder()
    width, height, cropped = picture_size(scene.render)
    rate = Fraction(scene.render.fps) / Fraction(round(scene.render.fps_base, 6)).limit_denominator(
        1000000
    )
    return {
        "version": bpy.app.version_string,
        "engine": scene.render.engine,
        "scene": scene.name,
        "width": width,
        "height": height,
        "cropped": cropped,
        "fps_numerator": rate.numerator,
        "fps_denominator": rate.denominator,
    }


def keep_to_the_given_folder():
    """Nothing goes where the artist's own render would go."""
    trees = list(bpy.data.node_groups)
    for scene in bpy.data.scenes:
        tree = getattr(scene, "node_tree", None)  # up to 4.5
        if tree is not None:
            trees.append(tree)
    for tree in trees:
        for compositor_node in tree.nodes:
            if compositor_node.type == "OUTPUT_FILE":
                compositor_node.mute = True


def picture_size(render):
    """The size that Blender will give the picture, by its own arithmetic (`RE_InitState`)."""
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    if not (render.use_border and render.use_crop_to_border):
        return width, height, False

    def edge(part, whole):
        return int(struct.unpack("f", struct.pack("f", part * whole))[0])

    return (
        edge(render.border_max_x, width) - edge(render.border_min_x, width),
        edge(render.border_max_y, height) - edge(render.border_min_y, height),
        True,
    )


def write_pictures(render):
    """PNG, whatever the artist writes; 16 bits a channel where the artist asks PNG for it."""
    picture = render.image_settings
    deep = picture.file_format == "PNG" and picture.color_depth == "16"
    color_mode = picture.color_mode
    if hasattr(picture, "media_type"):  # from 5.0: narrows the formats that can be set
        picture.media_type = "IMAGE"
    picture.file_format = "PNG"
    picture.color_mode = color_mode
    picture.color_depth = "16" if deep else "8"
    render.use_file_extension = True
    render.use_overwrite = True
    render.use_placeholder = False


def render_frame(frame, folder):
    """Renders as `blender -f` does: an animation of one frame, so that animated scene settings
    and cameras bound to markers count."""
    scene = bpy.context.scene
    render = scene.render
    write_pictures(render)
    render.filepath = os.path.join(folder, "frame_####")
    try:
        if "frame_start" in bpy.ops.render.render.get_rna_type().properties:  # from 5.0
            bpy.ops.render.render(animation=True, frame_start=frame, frame_end=frame)
        elif frame >= 0:
            scene.frame_start = scene.frame_end = frame
            scene.frame_step = 1
            bpy.ops.render.render(animation=True)
        else:  # an animation cannot start below 0 there
            scene.frame_set(frame)
            render.filepath = render.frame_path(frame=frame)
            bpy.ops.render.render(write_still=True)
            return picture(render.filepath, render)
    except RuntimeError as error:
        message = reason(error)
        kind = "no_camera" if "camera" in message.lower() else "render_error"
        raise Refused(kind, message)
    return picture(render.frame_path(frame=frame), render)


def picture(path, render):
    width, height, cropped = picture_size(render)
    return {"file": path, "width": width, "height": height, "cropped": cropped}


def reason(error, path=None):
    """Blender's own words, without its `Error:` and without where the file lies on this node."""
    text = str(error)
    if path is not None:
        text = text.replace(path, os.path.basename(path))
    return text.replace("Error:", "").strip() or "Blender gave no reason"


last_progress = 0.0


@persistent
def tell_progress(*arguments):
    """Blender gives its text to the handler from 4.x on; before that the node reads it from what
    Blender prints."""
    global last_progress
    now = time.monotonic()
    text = arguments[0] if arguments else None
    if isinstance(text, str) and now - last_progress >= PROGRESS_EVERY_S:
        last_progress = now
        node.say("progress", text=text)


def obey(command):
    if command["do"] == "devices":
        return node.answer("devices", devices=cycles_devices())
    if command["do"] == "open":
        return node.answer("opened", **open_scene(command["scene"]))
    if command["do"] == "render":
        return node.answer("rendered", **render_frame(command["frame"], command["folder"]))
    raise Refused("render_error", "the driver does not know {}".format(command["do"]))


def main():
    bpy.app.handlers.render_stats.append(tell_progress)
    node.answer("ready", version=bpy.app.version_string)
    while True:
        try:
            obey(node.next_command())
        except Refused as refused:
            node.answer("failed", kind=refused.kind, message=refused.message)
        except Exception as error:
            message = "{}: {}".format(type(error).__name__, error)
            node.answer("failed", kind="render_error", message=message)


main()
