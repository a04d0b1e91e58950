"""Starts ipykernel (6 or newer) for a headless run: launcher.py -f connection.json

What differs from `python -m ipykernel_launcher`:
- The output channel never drops messages: past 1,000 queued ones ZeroMQ would,
  silently, the end of the cell among them. With ZMQ_XPUB_NODROP it waits instead.
- A stream's text is sent in pieces of bounded size, however much was printed.
- Messages are numbered as they are sent, so that a missing number is a lost message.
- The connection file is only read.
- History stays in memory.
- A cell that leaves sys.stdout or sys.stderr closed, or None, gets an answer all the same.
- A crash in a C library leaves its Python traceback in the kernel's log.
- It ends at once when asked to: ipykernel now and then takes ten seconds or hangs, and
  takes five where the notebook left processes. Those are ended by who started the
  launcher, who has them in a process group or a PID namespace.
- No pause of half a millisecond before each reply: it is there for clients that do not
  wait for the end of the output.
- What only people at a prompt need is not imported at the start: the debugger,
  the terminal front end and the completer's analyser. It stays importable.
Everything else is as in any Jupyter kernel.
"""

import atexit
import faulthandler
import gc
import itertools
import os
import sys
import types

STREAM_PIECE = 1 << 20  # characters of one stream message


def hold_back():
    """Keeps modules that only people at a prompt need from being imported now."""
    sys.modules["debugpy"] = sys.modules["jedi"] = None  # "not installed"

    def embed(*args, **kwargs):
        from IPython.terminal.embed import embed

        return embed(*args, **kwargs)

    terminal = types.ModuleType("IPython.terminal.embed")
    terminal.embed = embed
    sys.modules[terminal.__name__] = terminal


def let_go():
    """Makes them importable for the notebook's own code."""
    for name in ("debugpy", "jedi", "IPython.terminal.embed"):
        sys.modules.pop(name, None)


def headless_app():
    """Returns ipykernel's application with the differences named above."""
    import zmq
    from ipykernel import kernelapp
    from jupyter_client.session import Session

    class Patient:
        """A ZeroMQ context whose sockets wait for a slow reader."""

        def __init__(self, context):
            self.context = context

        def socket(self, kind):
            socket = self.context.socket(kind)
            socket.setsockopt(zmq.XPUB_NODROP, 1)  # heeded by PUB and XPUB alike
            return socket

        def __getattr__(self, name):
            return getattr(self.context, name)

    class HeadlessSession(Session):
        """Sends long stream texts as several messages, and numbers what it sends.

        Session numbers what it makes: what a display hook keeps, a figure that displays
        itself as a cell's value, and a forked child's outputs would look lost.
        """

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.numbers = itertools.count()

        def serialize(self, msg, *args, **kwargs):
            msg["msg_id"] = f"{self.session}_{os.getpid()}_{next(self.numbers)}"
            msg["header"] = {**msg["header"], "msg_id": msg["msg_id"]}
            return super().serialize(msg, *args, **kwargs)

        def send(self, stream, message, *args, **kwargs):
            text = ""
            if isinstance(message, dict) and message.get("msg_type") == "stream":
                text = message["content"]["text"]
            if len(text) <= STREAM_PIECE:
                return super().send(stream, message, *args, **kwargs)
            sent = None
            for start in range(0, len(text), STREAM_PIECE):
                piece = {**message["content"], "text": text[start : start + STREAM_PIECE]}
                part = self.msg("stream", piece, parent=message["parent_header"])
                sent = super().send(stream, part, *args, **kwargs)
            return sent

    class IPKernelApp(kernelapp.IPKernelApp):  # the name stands in logs and configuration
        def _session_default(self):
            return HeadlessSession(parent=self)

        def init_iopub(self, context):
            super().init_iopub(Patient(context))
            atexit.unregister(self.iopub_thread.stop)  # close, which does that too, would come after

        def close(self):
            """Ends the control thread first: its last act is to wait for the output thread.

            ipykernel ends that one before, and now and then waits for its waiting.
            """
            control = getattr(self, "control_thread", None)
            if control and control.is_alive():
                control.stop()
                control.join()
            super().close()

        def write_connection_file(self, **kwargs):
            """Leaves the file alone: it was written for us and may be read-only."""

    return IPKernelApp.instance()


def keep_streams(events):
    """Sees to the streams after a cell that has put others in their places.

    ipykernel flushes what stands there before it answers: where that fails it never does,
    and what the cell had printed before stays behind.
    """
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    def see_to():
        for name, stream in streams.items():
            if getattr(sys, name, None) is stream:
                continue
            try:
                stream.flush()
                getattr(sys, name).flush()
            except Exception:
                setattr(sys, name, stream)

    events.register("post_execute", see_to)


async def leave_children():
    """Stands in for ipykernel's way to end children, which waits for zombies as well."""


def main():
    gc.disable()  # imports make hardly any garbage
    faulthandler.enable(os.dup(2))  # ipykernel takes 2 away, and can send nothing after a crash
    if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # ipykernel puts the working folder there
    hold_back()
    app = headless_app()
    # A parent of 1 is one that never dies: no polling for it, no advice about Ctrl-C on its output.
    options = ["--HistoryManager.hist_file=:memory:", "--IPKernelApp.parent_handle=1"]
    app.initialize(options + sys.argv[1:])
    app.kernel._progressively_terminate_all_children = leave_children
    keep_streams(app.shell.events)
    app.kernel._execute_sleep = 0
    let_go()
    gc.freeze()
    gc.enable()
    app.start()


if __name__ == "__main__":
    main()
