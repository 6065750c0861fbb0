"""A server without PostgreSQL: it lets in by a method and answers everything, well enough that a session goes on."""

import json
from collections.abc import Callable

from dbproxy.auth.client_login import Authenticator, Challenge, Done
from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.users import Secret
from dbproxy.errors import ProxyError
from dbproxy.pool.choice import QUESTION
from dbproxy.pool.defaults import SNAPSHOT
from dbproxy.pool.routines import QUERY as FUNCTIONS
from dbproxy.wire import build
from dbproxy.wire.startup import StartupMessage, parse_startup
from tests.support.scripted_server import AUDIT, PARAMETERS, findings
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    COPY_IN,
    COPY_OUT,
    EMPTY,
    IDLE,
    INERROR,
    INTRANS,
    NO_DATA,
    PARSE_COMPLETE,
    columns,
    complete,
    copy_data,
    error,
    function_result,
    notification,
    parameter_status,
    parameter_types,
    row,
    rows,
)

COPY_DONE = b"c\0\0\0\4"
ENDS = {"I": IDLE, "T": INTRANS, "E": INERROR}
PASSWORD = "secret"
TOLD = b"".join(parameter_status(name, value) for name, value in PARAMETERS.items())


class Responder:
    """One connection; `answer` takes what was written to it, in any pieces, and says what comes back."""

    def __init__(self, auth_type: str = "trust", binding: bytes | None = None) -> None:
        self.auth_type = auth_type
        self.binding = binding
        self.data = bytearray()
        self.started = False
        self.login = None
        self.status = "I"
        self.skipping = False  # to the next Sync

    def answer(self, data: bytes) -> bytes:
        self.data += data
        said = b""
        while (size := self.size_of_next()) and len(self.data) >= size:
            message = bytes(self.data[:size])
            del self.data[:size]
            try:
                said += self.respond(message) if self.started else self.start(message)
            except (ValueError, IndexError, ProxyError):  # it cannot be read
                said += error("08P01", "invalid message format") + self.end()
        return said

    def size_of_next(self) -> int:
        """0: not known yet."""
        at = 1 if self.started else 0
        if len(self.data) < at + 4:
            return 0
        return at + int.from_bytes(self.data[at : at + 4], "big")

    # --- login ---

    def start(self, message: bytes) -> bytes:
        opening = parse_startup(message[4:])
        if not isinstance(opening, StartupMessage):
            return b""
        self.started = True
        authenticator = Authenticator(KeyCache(), b"mock")
        secret = Secret("plain", PASSWORD)
        self.login = authenticator.begin(self.auth_type, opening.user, secret, self.binding)  # type: ignore[arg-type]
        return self.step(self.login.start())

    def step(self, step: object) -> bytes:
        if isinstance(step, Work):
            step = step.run()
        if isinstance(step, Challenge):
            return build.authentication(step.code, step.payload)
        assert isinstance(step, Done)
        self.login = None
        last = build.authentication(step.last.code, step.last.payload) if step.last else b""
        return last + build.authentication_ok() + TOLD + build.backend_key_data(7, b"key!") + IDLE

    # --- a session ---

    def respond(self, message: bytes) -> bytes:
        kind, body = chr(message[0]), message[5:]
        if self.login is not None:
            return self.step(self.login.receive(body))
        if self.skipping and kind != "S":
            return b""
        respond: Callable[[bytes], bytes] | None = getattr(self, f"on_{kind}", None)
        return respond(body) if respond is not None else b""

    def end(self) -> bytes:
        return ENDS[self.status]

    def on_Q(self, body: bytes) -> bytes:  # noqa: N802
        text = body[:-1].decode("utf-8", "replace")
        if AUDIT in text:
            return findings(text) + self.end()
        known = self.tell_of_itself(text)
        if known:
            return known + self.end()
        told = self.run(text)
        return told if told.endswith(COPY_IN) else told + self.end()

    def tell_of_itself(self, text: str) -> bytes:
        """What the proxy asks of every server; b"" if this is none of it."""
        if text == SNAPSHOT:
            return rows(
                json.dumps({"": ["5 10", False, False], "work_mem": ["4MB", True, False]}).encode().hex()
            )
        if text == FUNCTIONS:
            return columns("a", "b") + row(b"f".hex(), b"BEGIN SET work_mem = 1; END".hex()) + complete()
        if text == QUESTION:
            return columns("a", "b") + row("off", "off") + complete()
        return b""

    def run(self, text: str) -> bytes:
        """Up to ReadyForQuery."""
        words = text.split()
        word = words[0].upper().rstrip(";") if words else ""
        if not word:
            return EMPTY
        if "1/0" in text or (self.status == "E" and word not in ("ROLLBACK", "COMMIT")):
            self.status = "E" if self.status != "I" else "I"
            return error("22012", "division by zero")
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            self.status = "T" if word == "BEGIN" else "I"
            return complete(word)
        if word == "COPY":
            return (
                COPY_IN if "STDIN" in text else COPY_OUT + copy_data(b"1\n") + COPY_DONE + complete("COPY 1")
            )
        if word == "SET":
            return complete("SET") + parameter_status("TimeZone", "Asia/Tokyo")
        if word == "NOTIFY":
            return notification("news", "x") + complete("NOTIFY")
        if word in ("SELECT", "EXECUTE", "SHOW", "WITH", "FETCH"):
            return rows("1")
        return complete(word)

    def on_P(self, body: bytes) -> bytes:  # noqa: N802
        if b"1/0" in body:
            self.skipping = True
            return error("22012", "division by zero")
        return PARSE_COMPLETE

    def on_B(self, body: bytes) -> bytes:  # noqa: N802
        return BIND_COMPLETE

    def on_D(self, body: bytes) -> bytes:  # noqa: N802
        return (parameter_types() if body[:1] == b"S" else b"") + (
            columns("a") if body[1:2] != b"n" else NO_DATA
        )

    def on_E(self, body: bytes) -> bytes:  # noqa: N802
        return row("1") + complete()

    def on_C(self, body: bytes) -> bytes:  # noqa: N802
        return CLOSE_COMPLETE

    def on_S(self, body: bytes) -> bytes:  # noqa: N802
        self.skipping = False
        return self.end()

    def on_c(self, body: bytes) -> bytes:
        return complete("COPY 1") + self.end()

    def on_f(self, body: bytes) -> bytes:
        return error("57014", "COPY from stdin failed") + self.end()

    def on_F(self, body: bytes) -> bytes:  # noqa: N802
        return function_result(b"1") + self.end()
