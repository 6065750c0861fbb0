"""SQL of ours that runs inside a client's loan, ahead of its statement or behind it; the client sees nothing of it."""

from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.dues import OPTIONAL, Give
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.request import Request
from dbproxy.wire import build
from dbproxy.wire.extended import write_run
from dbproxy.wire.startup import parse_parameter_status

STANDBY = "in_hot_standby"  # told by a replica that is promoted: to its clients it is not what they are connected to


def spell_ours(dialogue: Dialogue, statements: list[str], simple: bool) -> bytes:
    """Messages that run these ahead of a client's statement: of a Query (`simple`), or inside its request."""
    if simple:  # one by one: a text of several would end what an Execute without a Sync has begun
        for _ in statements:
            dialogue.pipeline.skip(ord("Q"), OPTIONAL)
        dialogue.statements.unnamed = None
        return b"".join(map(build.query, statements))
    return b"".join([spell_run(dialogue, sql.encode(errors="surrogateescape")) for sql in statements])


def spell_run(dialogue: Dialogue, sql: bytes, name: bytes | None = None) -> bytes:
    """Messages that run SQL inside a request; `name`: of the statement that it prepares."""
    for kind in b"CPB":
        dialogue.pipeline.skip(kind)
    dialogue.pipeline.skip(ord("E"), None if name is None else Give(name))
    for kind in b"CC":
        dialogue.pipeline.skip(kind)
    return write_run(sql)


def spell_sync(dialogue: Dialogue) -> bytes:
    dialogue.pipeline.skip(ord("S"))
    return build.sync()


def restore(dialogue: Dialogue, settings: Parameters, kind: int, request: Request) -> bytes:
    """A Query behind the client's RESET (its Query, or the Sync behind it): what it asked for at login is back."""
    dialogue.pipeline.expect_halves(kind, request)
    return build.query(settings.restoration())


def hides(dialogue: Dialogue, payload: bytes) -> bool:
    """Whether a setting is told later, if at all: a RESET takes it to the server's default, and we on from there."""
    name, _ = parse_parameter_status(payload)
    return name == STANDBY or dialogue.pipeline.is_half()
