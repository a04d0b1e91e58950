"""Process 1 of a pod's kernel container: starts and ends kernels for the agent that holds
its leash.

The leash is a TCP connection from the agent. Both sides prove that they know the attempt's
key; from then on each line carries a code over its text and its number, made with a key of
this connection. There is one leash in a warden's life: when it ends, so does the warden,
and with it every process of the container. A kernel so dies with its agent. A warden whose
leash nobody takes ends after a while.

    warden: nbpress-leash 1 NONCE            NONCE: 32 hexadecimal digits
    agent:  NONCE HMAC(key, "agent" NONCES)
    warden: HMAC(key, "warden" NONCES)
    both:   HMAC(HMAC(key, side "lines" NONCES), number text) text   a JSON object

    agent says                warden says
    {"do": "start"}           {"is": "started"} or {"is": "refused", "message": ...}
    {"do": "stop"}            {"is": "stopped"} or {"is": "refused", "message": ...}
    {"do": "ping"}            {"is": "pong"}
                              {"is": "ended", "status" or "signal": ..., "oom": ..., "limit": ..., "message": ...}

A warden answers in the order in which it was asked. "ended" is told once per kernel, before
"stopped" of the stop that ended it.

The notebook runs as the same user. It cannot signal process 1 of its own namespace, but for
what that handles itself; it cannot look into it, since that is not dumpable; the port is
closed as soon as the leash is taken. It can at most make its own attempt fail.

Python 3.8 or newer and folders.py, no other package: it runs in images that are not ours.
"""
import collections
import ctypes
import errno
import hashlib
import hmac
import json
import os
import re
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import folders

LONGEST_LINE = 4096
MOST_CALLERS = 16  # connections that have proved nothing yet
PROOF_SECONDS = 10
SILENCE_SECONDS = 90  # the agent pings more often
STOP_SECONDS = 0.2  # between asking a kernel to end and ending it
GONE_SECONDS = 60  # until processes that were killed must have gone
LOG_BYTES = 256 << 10  # of each of two files
LAST_WORDS = 4096
PROCESSES = 1024
PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}  # after the leash's
PRCTL, PR_SET_DUMPABLE = ctypes.CDLL(None).prctl, 4
SERVICE_VARIABLES = re.compile("KUBERNETES_(SERVICE_|PORT)")
NO_KERNEL = re.compile(r"No module named '(ipykernel|jupyter_client|jupyter_core|zmq|tornado|traitlets|IPython)\b")

options = {
    "leash-within": "600",
    "port": "5550",
    "programs": HERE,
    "work": "/work",
    "log": "/log",
    "home": "/home/nbpress",
    "tmp": "/tmp",
    "shm": "/dev/shm",
    "run": "/run/nbpress",
    "cgroup": "/sys/fs/cgroup",
}


def say(*words):
    print("warden:", *words, file=sys.stderr, flush=True)


def code(key, *texts):
    return hmac.new(key, b"".join(texts), hashlib.sha256).hexdigest().encode()


# The leash.


class Caller:
    """A connection. It becomes the leash when it has proved that it knows the key."""

    def __init__(self, connection, key):
        self.connection, self.key = connection, key
        self.since = time.monotonic()
        self.nonce = os.urandom(16).hex().encode()
        self.received = b""
        self.proved = False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(b"nbpress-leash 1 " + self.nonce + b"\n")

    def lines(self):
        """Returns the lines that came, or raises OSError or ValueError if this is the end."""
        try:
            data = self.connection.recv(LONGEST_LINE)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the agent has gone")
        *lines, self.received = (self.received + data).split(b"\n")
        if any(len(line) > LONGEST_LINE for line in lines + [self.received]):
            raise ValueError("a line is too long")
        return lines

    def prove(self, line):
        """Holds the agent's proof against the key, and returns ours."""
        theirs, _, proof = line.partition(b" ")
        nonces = self.nonce + theirs
        if len(theirs) != 32 or not hmac.compare_digest(code(self.key, b"agent", nonces), proof):
            raise ValueError("the key is not the agent's")
        self.hear = bytes.fromhex(code(self.key, b"agent lines", nonces).decode())
        self.tell = bytes.fromhex(code(self.key, b"warden lines", nonces).decode())
        self.heard = self.told = 0
        self.proved = True
        return code(self.key, b"warden", nonces)

    def command(self, line):
        proof, _, text = line.partition(b" ")
        if not hmac.compare_digest(code(self.hear, b"%d " % self.heard, text), proof):
            raise ValueError("a line is not the agent's")
        self.heard += 1
        self.since = time.monotonic()
        return json.loads(text.decode())["do"]

    def say(self, **fact):
        text = json.dumps(fact).encode()
        proof = code(self.tell, b"%d " % self.told, text)
        self.told += 1
        self.send(proof + b" " + text)

    def send(self, line):
        self.connection.settimeout(10)
        try:
            self.connection.sendall(line + b"\n")
        finally:
            self.connection.setblocking(False)


# The kernel's log: the end of what its processes print, in two files, which outlive the container.


class Log:
    def __init__(self, folder):
        self.path = os.path.join(folder, "kernel.log")
        self.size = 0
        self.last = collections.deque(maxlen=LAST_WORDS)

    def write(self, text):
        self.last.extend(text[-LAST_WORDS:])
        try:
            if self.size > LOG_BYTES:
                os.replace(self.path, self.path + ".1")
                self.size = 0
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(self.path, flags, 0o644)  # anew each time: the notebook may have changed what is there
            try:
                self.size += os.write(file, text)
            finally:
                os.close(file)
        except OSError:
            pass  # a full disk, or what the notebook put there, costs it its log


# The memory's limit.


def read_text(*path):
    try:
        with open(os.path.join(*path)) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def number_after(name, text):
    found = re.search(r"^%s (\d+)$" % name, text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def memory_kills():
    """How often the container ran out of memory so that a process was killed: cgroup v2, v1."""
    text = read_text(options["cgroup"], "memory.events") or read_text(options["cgroup"], "memory", "memory.oom_control")
    return number_after("oom_kill", text)


def memory_limit():
    text = read_text(options["cgroup"], "memory.max") or read_text(options["cgroup"], "memory", "memory.limit_in_bytes")
    limit = int(text) if text.strip().isdigit() else 0
    return limit if limit < 1 << 60 else 0  # v1's word for none is a number


# Kernels.


def environment():
    env = {name: value for name, value in os.environ.items() if not SERVICE_VARIABLES.match(name)}
    env.pop("HOSTNAME", None)
    if not os.access(env.get("HOME", ""), os.W_OK):
        env["HOME"] = options["home"]
    env.setdefault("PATH", os.defpath)
    env.setdefault("TMPDIR", options["tmp"])
    env.setdefault("LANG", "C.UTF-8")
    env.setdefault("IPYTHONDIR", os.path.join(env["HOME"], ".ipython"))
    env.setdefault("MPLCONFIGDIR", os.path.join(env["HOME"], ".matplotlib"))
    env.setdefault("PYTHONUNBUFFERED", "1")
    return env


def in_kernel():
    """Runs in the new process, before it becomes the kernel."""
    os.umask(0o022)
    os.nice(19)  # however many they become: the warden comes first within the container's share
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if most == resource.RLIM_INFINITY or most > PROCESSES:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    try:
        dumpable(True)  # else this file is root's
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # rather its processes than the warden
    except OSError:
        pass


class Kernel:
    def __init__(self, key, log):
        for place in ("run", "home", "tmp", "shm"):  # what one kernel leaves there the next must not meet
            os.makedirs(options[place], exist_ok=True)
            folders.empty(options[place])
        self.log = log
        self.kills = memory_kills()
        self.env = environment()
        process = subprocess.Popen(
            ["python3", os.path.join(options["programs"], "launcher.py"), "-f", self.connection_file(key)],
            cwd=options["work"],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=in_kernel,
        )
        self.pid = process.pid
        process.returncode = 0  # we wait for it ourselves
        self.output = process.stdout.fileno()
        self.file = process.stdout
        os.set_blocking(self.output, False)

    def connection_file(self, key):
        connection = {"transport": "tcp", "ip": "0.0.0.0", "key": key.decode(), "signature_scheme": "hmac-sha256", "kernel_name": "python3"}
        for name, offset in PORTS.items():
            connection[name] = int(options["port"]) + offset
        path = os.path.join(options["run"], "connection.json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(connection, file)
        return path

    def read_log(self, most=16):
        """Moves some of what was printed to the log. False: nobody can print any more."""
        for _ in range(most):
            try:
                text = os.read(self.output, 64 << 10)
            except BlockingIOError:
                return True
            if not text:
                return False
            self.log.write(text)
        return True

    def short_of_memory(self):
        """Whether a process was killed for memory, the kernel or another."""
        return memory_kills() > self.kills

    def ending(self, status):
        """Says how it ended, from its wait status."""
        fact = {"is": "ended"}
        if os.WIFSIGNALED(status):
            fact["signal"] = os.WTERMSIG(status)
            if fact["signal"] == signal.SIGKILL and self.short_of_memory():
                fact["oom"], fact["limit"] = True, memory_limit()
        else:
            fact["status"] = os.WEXITSTATUS(status)
        missing = NO_KERNEL.search(bytes(self.log.last).decode(errors="replace"))
        if fact.get("status") and missing:
            fact["message"] = "the image has no %s: a kernel needs ipykernel in it (pip install ipykernel)" % missing.group(1)
        return fact


class Warden:
    def __init__(self, key):
        self.key = key
        self.kernel = None
        self.log = Log(options["log"])
        self.leash = None
        self.callers = {}
        self.selector = selectors.DefaultSelector()

    def run(self):
        """Serves until the leash has ended, or until nobody has taken it in time."""
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.selector.register(woken, selectors.EVENT_READ, self.signalled)
        self.woken = woken
        listener = listen(int(options["port"]))
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        self.listener = listener
        until = time.monotonic() + float(options["leash-within"])
        while True:
            for ready, _ in self.selector.select(1):
                ready.data(ready.fileobj)
            self.reap()
            if self.kernel and self.kernel.pid and self.kernel.short_of_memory():
                # As the kubelet has it on nodes with cgroups v2: none outlives the others. The
                # kernel may wait for ever for the one that is gone, and what is left of a fork
                # bomb fights for memory with the processor's time that the warden needs.
                kill_all()
            now = time.monotonic()
            if self.leash and now > self.leash.since + SILENCE_SECONDS:
                raise TimeoutError("the agent has been silent for %d s" % SILENCE_SECONDS)
            if not self.leash and now > until:
                raise TimeoutError("nobody took the leash within %s s" % options["leash-within"])
            for caller in list(self.callers.values()):
                if not caller.proved and now > caller.since + PROOF_SECONDS:
                    self.hang_up(caller)

    def signalled(self, woken):
        try:
            while os.read(woken, 4096):
                pass
        except BlockingIOError:
            pass

    def accept(self, listener):
        if self.leash:  # taken meanwhile: what was ready together is handled one after the other
            return
        connection, _ = listener.accept()
        if len(self.callers) >= MOST_CALLERS:  # the silent do not keep the agent out
            self.hang_up(min(self.callers.values(), key=lambda caller: caller.since))
        try:
            caller = Caller(connection, self.key)
        except OSError:
            connection.close()
            return
        self.callers[connection] = caller
        self.selector.register(connection, selectors.EVENT_READ, self.called)

    def called(self, connection):
        caller = self.callers.get(connection)
        if caller is None:  # hung up meanwhile
            return
        try:
            for line in caller.lines():
                if caller.proved:
                    self.obey(caller.command(line))
                    continue
                proof = caller.prove(line)
                self.take(caller)  # before the agent is told: nobody gets in after it
                caller.send(proof)
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            if caller.proved:
                raise ConnectionError(str(wrong))
            self.hang_up(caller)

    def take(self, caller):
        """Makes a caller the leash: from here on there is no other."""
        self.leash = caller
        self.selector.unregister(self.listener)
        self.listener.close()
        for other in list(self.callers.values()):
            if other is not caller:
                self.hang_up(other)

    def hang_up(self, caller):
        self.selector.unregister(caller.connection)
        del self.callers[caller.connection]
        caller.connection.close()

    def obey(self, command):
        if command == "ping":
            self.leash.say(**{"is": "pong"})
        elif command == "start":
            self.start()
        elif command == "stop":
            self.stop()
        else:
            raise ValueError("there is no command %.20r" % command)

    def start(self):
        try:
            self.stop_all()
            self.kernel = Kernel(self.key, self.log)
        except FileNotFoundError as missing:
            self.refuse("the image has no python3 in its PATH" if missing.filename == "python3" else missing)
            return
        except Exception as wrong:
            self.refuse(wrong)
            return
        self.selector.register(self.kernel.output, selectors.EVENT_READ, self.printed)
        self.leash.say(**{"is": "started"})

    def printed(self, output):
        if self.kernel and self.kernel.output == output and not self.kernel.read_log():  # else it was stopped meanwhile
            self.selector.unregister(output)

    def stop(self):
        try:
            self.stop_all()
        except Exception as wrong:
            self.refuse(wrong)
            return
        self.leash.say(**{"is": "stopped"})

    def refuse(self, why):
        self.leash.say(**{"is": "refused", "message": "%.500s" % (why if isinstance(why, str) else repr(why))})

    def stop_all(self):
        """Ends the kernel and every other process, and returns when they have gone."""
        if self.kernel and self.kernel.pid:
            os.kill(self.kernel.pid, signal.SIGTERM)
            self.await_until(time.monotonic() + STOP_SECONDS, lambda: not self.kernel.pid)
        if not self.await_until(time.monotonic() + GONE_SECONDS, lambda: kill_all() or not others()):
            raise TimeoutError("processes %s do not end" % others()[:5])
        if self.kernel:
            if self.kernel.output in self.selector.get_map():
                self.kernel.read_log(most=1 << 20)
                self.selector.unregister(self.kernel.output)
            self.kernel.file.close()
            self.kernel = None

    def await_until(self, deadline, done):
        """Reaps until done, or until the deadline. Returns whether it is done."""
        pause = 0.001
        while True:
            self.reap()
            if done():
                return True
            if time.monotonic() > deadline:
                return False
            if self.kernel:
                self.kernel.read_log()
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    def reap(self):
        """Takes leave of every process that has ended, and tells if one was the kernel."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.kernel and pid == self.kernel.pid:
                self.kernel.read_log(most=1024)
                self.kernel.pid = None
                self.leash.say(**self.kernel.ending(status))


def listen(port):
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as refused:
            if refused.errno == errno.EADDRINUSE:
                raise
    return socket.create_server(("", port))


def kill_all():
    """Kills every process of the namespace but this one. None can fork its way out of it."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass


def others():
    """The processes of the namespace but this one. Zombies count until they are reaped."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def dumpable(may):
    """Says whether processes of the same user may look into this one."""
    PRCTL(PR_SET_DUMPABLE, int(may), 0, 0, 0)


def leave(*_):
    """Ends this process, and with it the container. The node asks for it, see desk.py's wait."""
    os._exit(128 + signal.SIGTERM)


def main():
    if os.getpid() != 1:
        sys.exit("warden.py ends every process that it sees: it runs as process 1 of a container and nowhere else")
    arguments = iter(sys.argv[1:])
    for name in arguments:
        options[name[2:]] = next(arguments)
    dumpable(False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what process 1 does not handle does not reach it
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the selector
    with open(os.path.join(options["programs"], "key"), "rb") as file:
        key = file.read().strip()
    try:
        Warden(key).run()
    except (OSError, ValueError) as end:
        say(end)
    kill_all()


if __name__ == "__main__":
    main()
