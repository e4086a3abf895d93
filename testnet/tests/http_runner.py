#!/usr/bin/env python3
"""A runner of a JiggaBlend farm in plain Python, over HTTP alone: docs/http-runner.md in code.

It needs the standard library, a Blender, and ffmpeg where it is to make videos too. It works until
it is ended."""

import argparse
import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid


class Problem(Exception):
    """The farm refused; `name` is the last part of the problem's type."""

    def __init__(self, status, body):
        try:
            body = json.loads(body)
            self.name = body["type"].rsplit(":", 1)[-1]
            self.detail = body["detail"]
        except (ValueError, KeyError):
            self.name, self.detail = "", body[:200]
        self.status = status
        super().__init__(f"{status} {self.name}: {self.detail}")


class Farm:
    """Calls to a node, made again where they are lost: every one of them is safe to repeat."""

    def __init__(self, url):
        self.url = urllib.parse.urlsplit(url)
        self.credential = None

    def once(self, method, path, body, headers, timeout):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)
        try:
            if self.credential:
                headers = {**headers, "Authorization": f"Bearer {self.credential}"}
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status >= 400:
                raise Problem(response.status, answer.decode("utf-8", "replace"))
            return answer
        finally:
            connection.close()

    def call(self, method, path, body=None, headers=None, timeout=60):
        for pause in (0.5, 1, 2, 4, 8, None):
            try:
                return self.once(method, path, body, headers or {}, timeout)
            except Problem as problem:
                if problem.status < 500 or pause is None:
                    raise
                print(f"again: {problem}", file=sys.stderr)
            except OSError as error:
                if pause is None:
                    raise
                print(f"again: {error}", file=sys.stderr)
            time.sleep(pause)

    def json(self, method, path, body=None, headers=None):
        headers = {"Content-Type": "application/json", **(headers or {})}
        encoded = None if body is None else json.dumps(body).encode()
        return json.loads(self.call(method, path, encoded, headers))


class Held:
    """The one task that is worked on, for the heartbeats."""

    def __init__(self):
        self.lock = threading.Lock()
        self.task = None
        self.fraction = None
        self.is_revoked = threading.Event()

    def take(self, task):
        with self.lock:
            self.task, self.fraction = task, None
            self.is_revoked.clear()

    def drop(self):
        with self.lock:
            self.task = None

    def as_json(self):
        with self.lock:
            if self.task is None:
                return []
            held = {"task": self.task["id"], "epoch": self.task["epoch"]}
            if self.fraction is not None:
                held["fraction"] = self.fraction
                held["text"] = f"{self.fraction:.0%} rendered"
            return [held]


def keep_saying_how_it_is(farm, held, pause_seconds):
    while True:
        try:
            answer = farm.json("POST", "/api/runner/heartbeat", {"holding": held.as_json()})
            for lease in answer["revoked"]:
                task = held.task
                if task and (lease["task"], lease["epoch"]) == (task["id"], task["epoch"]):
                    held.is_revoked.set()
        except (OSError, Problem) as error:
            print(f"no heartbeat: {error}", file=sys.stderr)
        time.sleep(pause_seconds)


def run(command, held, log, watch=lambda line: None):
    """Runs a program, reads what it prints, and ends it where the task's lease is over."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )

    def end_if_revoked():
        while process.poll() is None:
            if held.is_revoked.wait(0.2):
                process.kill()

    threading.Thread(target=end_if_revoked, daemon=True).start()
    for line in process.stdout:
        log.append(line)
        watch(line)
    if process.wait() != 0:
        raise RuntimeError(f"{os.path.basename(command[0])} ended with {process.returncode}")


def render(farm, task, held, blender, folder, log):
    scene = os.path.join(folder, "scene.blend")
    with open(scene, "wb") as file:
        file.write(farm.call("GET", task["scene"]["url"]))

    def watch(line):
        sample = re.search(r"Sample (\d+)/(\d+)", line)
        if sample:
            held.fraction = int(sample[1]) / int(sample[2])

    frame = str(task["frame"])
    output = os.path.join(folder, "frame_####")
    command = [blender, "-b", "-Y", scene, "-o", output, "-F", "PNG", "-x", "1", "-f", frame]
    run(command, held, log, watch)
    pictures = [name for name in os.listdir(folder) if name.startswith("frame_")]
    if len(pictures) != 1:
        raise RuntimeError(f"Blender wrote {len(pictures)} pictures and not one")
    return os.path.join(folder, pictures[0])


def encode(farm, task, held, ffmpeg, folder, log):
    for number, frame in enumerate(task["frames"], 1):
        with open(os.path.join(folder, f"{number:06}.png"), "wb") as file:
            file.write(farm.call("GET", frame["url"]))
    video = os.path.join(folder, "video.mp4")
    rate = f"{task['fps_numerator']}/{task['fps_denominator']}"
    command = [ffmpeg, "-hide_banner", "-nostdin", "-y", "-framerate", rate, "-start_number", "1"]
    command += ["-i", os.path.join(folder, "%06d.png")]
    command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p", "-c:v", "libx264", video]
    run(command, held, log)
    return video


def upload(farm, task, kind, name, content):
    """One file of the task, as a form; the words come before the file."""
    boundary = uuid.uuid4().hex
    words = {
        "task": task["id"],
        "epoch": str(task["epoch"]),
        "kind": kind,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    body = b""
    for word, value in words.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{word}"\r\n\r\n'
        body += head.encode() + value.encode() + b"\r\n"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body += head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    path = f"/api/runner/files/{task['job']}/upload"
    return json.loads(farm.call("POST", path, body, headers, timeout=120))["file"]


def work_on(farm, task, held, arguments):
    log = []
    completion = {"epoch": task["epoch"]}
    with tempfile.TemporaryDirectory(prefix="http-runner-") as folder:
        started = time.monotonic()
        try:
            if task["kind"] == "frame":
                made = render(farm, task, held, arguments.blender, folder, log)
            else:
                made = encode(farm, task, held, arguments.ffmpeg, folder, log)
            completion["render_ms"] = int((time.monotonic() - started) * 1000)
            with open(made, "rb") as file:
                name = os.path.basename(made)
                completion["output"] = upload(farm, task, "output", name, file.read())
        except RuntimeError as error:
            kind = "crashed" if task["kind"] == "frame" else "encode_failed"
            completion["failure"] = {"kind": kind, "message": str(error)}
    if held.is_revoked.is_set():
        return
    if log:
        text = "".join(log).encode()[-1024 * 1024 :]
        completion["log"] = upload(farm, task, "log", "log.txt", text)
    farm.json("POST", f"/api/runner/tasks/{task['id']}/complete", completion)


def first_line(command):
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(line for line in output.splitlines() if line.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--name", default="a plain Python runner")
    parser.add_argument("--blender", default="blender")
    parser.add_argument("--ffmpeg", help="to make videos too")
    arguments = parser.parse_args()

    version = first_line([arguments.blender, "--version"]).removeprefix("Blender ").strip()
    facts = {"blender_version": version, "slots": 1, "cpu_threads": os.cpu_count() or 1}
    if arguments.ffmpeg:
        facts["ffmpeg"] = first_line([arguments.ffmpeg, "-version"])
    farm = Farm(arguments.url)
    registration = {"token": arguments.token, "name": arguments.name, "facts": facts}
    # The same key again would get the same credential: this call may be repeated too.
    key = {"Idempotency-Key": os.urandom(32).hex()}
    registered = farm.json("POST", "/api/runner/register", registration, key)
    farm.credential = registered["credential"]
    print(json.dumps({"runner": registered["runner"]}), flush=True)

    held = Held()
    threading.Thread(
        target=keep_saying_how_it_is,
        args=(farm, held, registered["heartbeat_seconds"]),
        daemon=True,
    ).start()
    while True:
        for task in farm.json("GET", "/api/runner/tasks?max=1&wait_seconds=20")["tasks"]:
            held.take(task)
            try:
                work_on(farm, task, held, arguments)
                print(json.dumps({"completed": task["id"]}), flush=True)
            except Problem as problem:
                # The farm gave the task to another runner: the work was for nothing.
                print(f"refused: {problem}", file=sys.stderr, flush=True)
                if problem.name not in ("stale-lease", "unknown-file"):
                    raise
            finally:
                held.drop()


if __name__ == "__main__":
    main()
