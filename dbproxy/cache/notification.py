"""What follows from notifications of everybody's writes: what is told of them, and how it is seen that they come.

A server tells a notification once the transaction that has sent it is seen by everybody, so what it tells is over: an
answer that is asked for from then on has it. Until then an answer that is kept may be of before: for as long as the
notification takes. What was sent before the server listens is seen by whoever reads afterwards.

A payload is the OID of a table; any other, or none, says that anything may have been written.
"""

from typing import Protocol

from dbproxy.cache.triggers import NAME
from dbproxy.errors import ServerLost
from dbproxy.wire import build
from dbproxy.wire.codes import Backend
from dbproxy.wire.startup import parse_error_response

LISTEN = f"LISTEN {NAME}"
DIGITS = 10  # of an OID
STATUS = 5.0  # seconds from one question whether the server is there to the next
SILENCE = 15.0  # seconds without a word, after which it is taken for gone


class Listener(Protocol):
    """Who is told (cache.witness)."""

    def began(self, _: int) -> None: ...
    def notified(self, oid: int | None) -> None: ...
    def lost(self, _: str) -> None: ...


class Notifications:
    """Those of one connection that listens. `now`: monotonic seconds."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.flows = False
        self.began_at = self.heard_at = self.told_at = 0.0

    def begin(self, now: float) -> None:
        self.flows = True
        self.began_at = self.heard_at = self.told_at = now
        self.listener.began(0)

    def hear(self, kind: int, payload: bytes, now: float) -> bool:
        """Tell the listener; the server wants nothing. Raises what ends it."""
        self.heard_at = now
        if kind == Backend.NOTIFICATION_RESPONSE:
            channel, text = payload[4:].split(b"\0")[:2]
            if channel == NAME.encode():
                self.listener.notified(int(text) if text.isdigit() and len(text) <= DIGITS else None)
        elif kind == Backend.ERROR_RESPONSE:
            fields = parse_error_response(payload)
            raise ServerLost(fields.get("M", ""), hint=fields.get("H", ""))
        return False

    def claim_status(self, now: float) -> bool:
        """Whether to ask if the server is there; whoever asks does it."""
        if now - self.told_at < STATUS:
            return False
        self.told_at = now
        return True

    def spell_status(self, _: float, *, reply_wanted: bool = False) -> bytes:
        """A question that asks for nothing, `reply_wanted` or not."""
        return build.query("")

    def is_silent(self, now: float) -> bool:
        return now - self.heard_at >= SILENCE

    def end(self, reason: str) -> None:
        """Tell the listener, once."""
        if self.flows:
            self.flows = False
            self.listener.lost(reason)
