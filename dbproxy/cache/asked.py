"""What the gate is asked: a request and its session, as far as it looks at them."""

from collections.abc import Mapping
from typing import Protocol

from dbproxy.cache.fill import Fill
from dbproxy.cache.values import read_values
from dbproxy.sql.constants import judge_text, may_be_moment
from dbproxy.sql.identity import Shape
from dbproxy.sql.rows import Place
from dbproxy.sql.statement import MOMENTARY
from dbproxy.wire.extended import bind_parameters, length_at, parse_parts


class Settings(Protocol):
    """A session's (pool.parameters)."""

    values: Mapping[str, str]
    cache_key: bytes


class Session(Protocol):
    """Whose request it is (session.client)."""

    @property
    def settings(self) -> Settings: ...
    @property
    def id(self) -> int: ...
    @property
    def server(self) -> object: ...


class Asked(Protocol):
    """A request (pool.query)."""

    shape: Shape | None
    kinds: bytes
    messages: bytes
    chunk: bytes
    whole: bool
    waited: bool
    looked: bool
    browses_by: float
    fill: Fill | None

    def read_text(self) -> bytes: ...


def read_keys(places: tuple[Place, ...], request: Asked) -> list[int] | None:
    """The values that it has there (cache.values)."""
    messages, body = request.messages, request.chunk
    at = 0
    for kind in request.kinds:
        stop = at + length_at(messages, at)
        if kind == ord("P"):
            body = (parse_parts(messages, at, stop) or (b"", b""))[1]
        elif kind == ord("Q") or kind == ord("B"):
            return read_values(places, messages, at, stop, body)
        at = stop
    return None


def is_momentary(request: Asked) -> bool:
    """Whether a value in it is read by the clock: 'now' and the like."""
    text, messages = request.read_text(), request.messages
    if (b"'" in text or b"$" in text) and judge_text(text) & MOMENTARY:
        return True
    at = 0
    for kind in request.kinds:
        stop = at + length_at(messages, at)
        if kind == ord("B"):
            for value, binary in bind_parameters(messages, at, stop):
                if not binary and value and may_be_moment(value):
                    return True
            return False
        at = stop
    return False
