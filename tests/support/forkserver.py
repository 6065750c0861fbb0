"""Starts `dbproxy …` by fork from a process that has imported it already: a thousand tests wait for one each.

`python -m tests.support.forkserver FD` is that process: one for each process of tests, over a socket between
the two. It has no thread and no loop, so a child is what a process that has just imported `dbproxy` is.
When the tests end, however they do, the socket does, and all that was started is killed.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
LARGEST = 1 << 17  # bytes of a request: the arguments and the environment


class Forked(AbstractContextManager["Forked"]):
    """A child of the server, as subprocess.Popen would have it. `status`: where its exit code is told."""

    stdin = None

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self._status = status

    def __exit__(self, *_: object) -> None:
        for stream in filter(None, (self.stdout, self.stderr)):
            stream.close()
        self.wait()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written, once it has ended."""
        assert self.stdout is not None
        assert self.stderr is not None
        with ThreadPoolExecutor(1) as other, self.stdout, self.stderr:
            err = other.submit(self.stderr.read)
            out = self.stdout.read()
            self.wait(timeout)
            return out, err.result()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            told = os.read(self._status, 16)  # nothing: the server itself is gone, and so is this
            os.close(self._status)
            self.returncode = int(told or -signal.SIGKILL)
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Server:
    """The tests' end: started with the first child."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = ours
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the tests' alone
            )
        atexit.register(self.close)

    def close(self) -> None:
        self.socket.close()
        self.process.wait()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], out: IO[Any], err: IO[Any]
    ) -> Forked:
        status, told = os.pipe()
        try:
            request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
            with self.lock:
                socket.send_fds(self.socket, [request], [out.fileno(), err.fileno(), told])
                answer = self.socket.recv(16)
            assert answer, "the server of the tests' proxies is gone"
            return Forked(int(answer), status)
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(told)


_servers: dict[int, Server] = {}  # by process, as one of tests that was forked has none of its own


def start(arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Forked:
    """`dbproxy ARGUMENTS`, which writes to `log`."""
    return _server().start(arguments, environment, log, log)


def open_process(arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
    """`dbproxy ARGUMENTS`, whose output is read."""
    (out, theirs_out), (err, theirs_err) = os.pipe(), os.pipe()
    with os.fdopen(theirs_out, "w") as to_out, os.fdopen(theirs_err, "w") as to_err:
        process = _server().start(arguments, environment, to_out, to_err)
    process.stdout, process.stderr = os.fdopen(out), os.fdopen(err)
    return process


def _server() -> Server:
    server = _servers.get(os.getpid())
    if server is None:
        server = _servers[os.getpid()] = Server()
    return server


# --- the server ---


def serve(requests: socket.socket) -> None:
    """Returns in a child, as which it goes on; ends with the tests."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}  # by process, where its exit code is to be told
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 1024)
            reap(children)
        if requests not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 3)
        if not message:
            for child in children:
                os.kill(child, signal.SIGKILL)
            os._exit(0)
        *written, told = descriptors
        child = os.fork()
        if not child:
            become(json.loads(message), *written)
            return
        for descriptor in written:
            os.close(descriptor)
        children[child] = told
        requests.send(b"%d" % child)


def reap(children: dict[int, int]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        told = children.pop(child)
        os.write(told, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(told)


def become(request: dict[str, object], out: int, err: int) -> None:
    """Be a process of one's own, with nothing of the server's but what it has imported."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, 1024)
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(ROOT / "dbproxy" / "__main__.py"), *arguments]


if __name__ == "__main__":
    import dbproxy.app.jobs  # what `serve` and `batch` import when they run
    import dbproxy.app.lifecycle  # noqa: F401
    from dbproxy.cli import main

    serve(socket.socket(fileno=int(sys.argv[1])))
    main()
