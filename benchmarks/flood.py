"""A client that asks for so much a second, whatever it is told: `python -m benchmarks.flood PORT USER RATE AT_ONCE`.

`SELECT 1`, so many at once, by turns over a few connections, on time and without waiting for answers. Those are only
counted: it is to load the proxy, not the machine. It says when it begins, goes on until its input ends, and tells then
what it has asked for and was refused a second, as JSON.
"""

import json
import selectors
import socket
import sys
import time
from itertools import cycle

from dbproxy.demo.postgres import HOST
from dbproxy.wire import build

CONNECTIONS = 8
ASK = build.query("SELECT 1")
READY = build.ready_for_query(ord("I"))
REFUSED = b"C53400\0"
TICK = 0.001  # seconds; what is due is sent together


def enter(port: int, user: str) -> socket.socket:
    """Logged in, without a password."""
    line = socket.create_connection((HOST, port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(build.startup_message({"user": user, "database": "postgres"}))
    heard = b""
    while READY not in heard:
        piece = line.recv(65536)
        if not piece:
            raise ConnectionError(heard.decode(errors="replace"))
        heard += piece
    return line


class Flood:
    def __init__(self, port: int, user: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.lines = [enter(port, user) for _ in range(CONNECTIONS)]
        for line in self.lines:
            self.selector.register(line, selectors.EVENT_READ)
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        self.sent = self.refused = 0
        self.over = False

    def run(self, rate: float, at_once: int) -> dict[str, float]:
        begun = time.monotonic()
        turns = cycle(self.lines)
        while not self.over:
            passed = time.monotonic() - begun
            while self.sent + at_once <= passed * rate:
                next(turns).sendall(ASK * at_once)
                self.sent += at_once
            self.listen()
            time.sleep(max(0.0, begun + passed + TICK - time.monotonic()))
        passed = time.monotonic() - begun
        return {
            "asked": self.sent / passed,
            "refused": self.refused / passed,
        }

    def listen(self) -> None:
        """What of an answer comes later may be counted as none: one in thousands."""
        for key, _ in self.selector.select(TICK):
            if isinstance(key.fileobj, socket.socket):
                self.refused += key.fileobj.recv(1 << 18).count(REFUSED)
            else:
                self.over = True


def main() -> None:
    port, user, rate, at_once = sys.argv[1:]
    flood = Flood(int(port), user)
    print("begun", flush=True)
    print(json.dumps(flood.run(float(rate), int(at_once))))


if __name__ == "__main__":
    main()
