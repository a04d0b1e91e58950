"""The desk of a pod: hands files to the notebook's work folder and takes them out of it,
and renders, in a container that the notebook has no process in.

    desk.py wait     process 1 of the container, which is idle
    desk.py put      replaces the contents of the work folder
    desk.py get      one file of the work folder
    desk.py list     the files of the work folder
    desk.py log      the end of what the kernel's processes printed
    desk.py render   runs render.py

The agent calls all but the first as commands in the container. It writes the request to
standard input and reads the answer from standard output, both as parcels: chunks, each
after its length in four bytes, then a length of zero and the SHA-256 of all chunks. So a
stream that was cut, or lost something, is not taken for a whole one. A request starts with
a parcel of JSON. An answer is a parcel of bytes and then one of JSON, the verdict.

Python 3.8 or newer and folders.py, no other package. `python3 -I` knows no folder of ours.
"""
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import folders

CHUNK = 64 << 10
LONGEST_CHUNK = 1 << 20
LONGEST_HEAD = 64 << 10
LENGTH = struct.Struct(">I")
MOST_LISTED = 4096
LOG_FILES = ("kernel.log.1", "kernel.log")  # as warden.py writes them
LOG_LIMIT = 4 << 20  # more than the warden writes to a file

places = {"work": "/work", "log": "/log", "desk": "/desk"}  # NAME=FOLDER arguments change them


class Cut(Exception):
    """The request ended early or is not what was sent."""


# Parcels.


def read_exactly(stream, count):
    data = stream.read(count)
    if len(data) != count:
        raise Cut("the request was cut")
    return data


def read_parcel(stream):
    """Yields the chunks of a parcel, and raises Cut at the end unless all have come."""
    digest = hashlib.sha256()
    while True:
        (length,) = LENGTH.unpack(read_exactly(stream, LENGTH.size))
        if length == 0:
            break
        if length > LONGEST_CHUNK:
            raise Cut("the request has a chunk of %d bytes" % length)
        chunk = read_exactly(stream, length)
        digest.update(chunk)
        yield chunk
    if read_exactly(stream, digest.digest_size) != digest.digest():
        raise Cut("the request is not what was sent")


def read_head(stream):
    head = b""
    for chunk in read_parcel(stream):
        head += chunk
        if len(head) > LONGEST_HEAD:
            raise Cut("the request's head is too long")
    return json.loads(head)


class Parcel:
    """Writes one."""

    def __init__(self, stream):
        self.stream, self.digest = stream, hashlib.sha256()

    def write(self, chunk):
        if chunk:
            self.digest.update(chunk)
            self.stream.write(LENGTH.pack(len(chunk)) + chunk)
            self.stream.flush()

    def end(self):
        self.stream.write(LENGTH.pack(0) + self.digest.digest())
        self.stream.flush()


# Commands. Each reads the rest of its request, writes the answer's bytes to out, and
# returns the verdict.


def put(_head, stdin, _out):
    folders.empty(places["work"])
    while True:
        entry = read_head(stdin)
        if entry.get("end"):
            return {}
        folders.write(places["work"], entry["name"], read_parcel(stdin))


def get(head, _stdin, out):
    limit = head["limit"]
    with folders.read(places["work"], head["name"], limit) as file:
        left = limit
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                break
            left -= len(chunk)
            out.write(chunk)
    return {}


def list_files(_head, _stdin, out):
    for name in folders.listing(places["work"], MOST_LISTED):
        out.write(name.encode() + b"\0")
    return {}


def log(head, _stdin, out):
    """The log is in a folder that the notebook can write to: it may be anything."""
    text = b""
    for name in LOG_FILES:
        try:
            with folders.read(places["log"], name, LOG_LIMIT) as file:
                text += file.read(LOG_LIMIT)
        except (folders.NotFound, folders.TooLarge, PermissionError):
            pass
    if head["limit"] > 0:
        for start in range(max(0, len(text) - head["limit"]), len(text), CHUNK):
            out.write(text[start : start + CHUNK])
    return {}


def render(_head, stdin, out):
    """Runs render.py in a fresh folder, until it ends or the agent has gone."""
    home = os.path.join(places["desk"], "render")
    os.makedirs(home, exist_ok=True)
    folders.empty(home)
    renderer = subprocess.Popen(
        [sys.executable, "-I", os.path.join(HERE, "render.py")],
        cwd=home,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        threading.Thread(target=feed, args=(renderer, stdin), daemon=True).start()
        while True:
            page = os.read(renderer.stdout.fileno(), CHUNK)
            if not page:
                break
            out.write(page)
        return {"status": renderer.wait()}
    finally:
        end(renderer)
        folders.empty(home)


def feed(renderer, stdin):
    """Hands the request on, and ends the renderer if the agent goes before the answer has."""
    try:
        for chunk in read_parcel(stdin):
            try:
                renderer.stdin.write(chunk)
            except BrokenPipeError:
                pass  # its answer, or its absence, says why
        try:
            renderer.stdin.close()
        except BrokenPipeError:
            pass
        stdin.read(1)  # the agent says no more, but stays
    except (Cut, OSError):
        pass
    end(renderer)


def end(renderer):
    try:
        os.killpg(renderer.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


COMMANDS = {"put": put, "get": get, "list": list_files, "log": log, "render": render}


def answer(command):
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    body = Parcel(stdout)
    try:
        verdict = command(read_head(stdin), stdin, body)
    except folders.NotFound as missing:
        verdict = {"error": "not_found", "message": str(missing)}
    except folders.TooLarge as large:
        verdict = {"error": "too_large", "message": str(large)}
    except BrokenPipeError:
        raise
    except Exception as wrong:
        verdict = {"error": "failed", "message": "%s: %.1000s" % (type(wrong).__name__, wrong)}
    body.end()
    tail = Parcel(stdout)
    tail.write(json.dumps(verdict).encode())
    tail.end()


def wait():
    """Ends when asked to, and until then takes leave of processes that nobody else waits for.

    It does not end well: of a pod whose containers do the kubelet forgets why it ended it.
    """
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while signal.sigwait(awaited) == signal.SIGCHLD:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
    sys.exit(128 + signal.SIGTERM)


def main():
    name, *arguments = sys.argv[1:]
    for argument in arguments:
        place, _, folder = argument.partition("=")
        places[place] = folder
    if name == "wait":
        wait()
        return
    try:
        answer(COMMANDS[name])
    except BrokenPipeError:
        pass  # the agent has gone
    sys.stdout = None
    os._exit(0)  # whatever thread still reads


if __name__ == "__main__":
    main()
