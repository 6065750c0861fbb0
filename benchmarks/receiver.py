"""A collector of spans that takes them, or fails as collectors do: what it gets is only counted."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

FAULTS = ("dead", "hanging", "500", "slow")
SLOW = 2.0  # seconds until an answer: sooner than the proxy gives up, and later than the next batch is due


class Receiver:
    """`with Receiver() as receiver`; `fault`: one of FAULTS, or ""."""

    def __init__(self) -> None:
        self.fault = ""
        self.requests = 0  # that were answered with 200
        self.healed = threading.Event()
        self.server = self._listen(0)
        self.port = int(self.server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.healed.set()
        self._close()

    def fail(self, fault: str) -> None:
        """From now on; "": it works again."""
        was, self.fault = self.fault, fault
        if fault:
            self.healed.clear()
        else:
            self.healed.set()
        if fault == "dead":
            self._close()
        elif was == "dead":
            self.server = self._listen(self.port)

    def answer(self, exchange: BaseHTTPRequestHandler) -> None:
        exchange.rfile.read(int(exchange.headers["content-length"]))
        if self.fault == "hanging":
            self.healed.wait()
            return  # whoever asked is gone
        if self.fault == "slow":
            self.healed.wait(SLOW)
        status = 500 if self.fault == "500" else 200
        exchange.send_response(status)
        exchange.send_header("content-length", "0")
        exchange.end_headers()
        self.requests += status == 200

    def _listen(self, port: int) -> ThreadingHTTPServer:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                receiver.answer(self)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
