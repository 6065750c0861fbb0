"""What follows from an ErrorResponse: what the server has not done is undone, and what the client gets instead.

After an error in an extended query PostgreSQL discards messages up to Sync; their entries leave the pipeline, and what
was noted with them (a statement prepared or closed) did not happen. A request that failed only since a statement of
ours was out of date is sent again, and the client sees nothing of it.
"""

import structlog

from dbproxy.pool.answer import Answer
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dues import Give, Mention, Ours, Sent, fail_unexpectedly
from dbproxy.pool.prepared import CHANGED
from dbproxy.pool.request import Refusal, Request
from dbproxy.pool.statements import UNKNOWN_STATEMENT
from dbproxy.sql.statement import RECALLS, RESETS, SETS
from dbproxy.wire import build
from dbproxy.wire.due import Due
from dbproxy.wire.pipeline import HALF, KIND, SKIP, TAIL
from dbproxy.wire.startup import parse_error_response

log = structlog.get_logger(__name__)

# Errors after which a request is sent again on a fresh statement: SQLSTATE, and the server function that
# raised it, since they have other causes, too. 26000 and 42P05 say that somebody changed statements behind our back.
STALE = {
    ("0A000", "RevalidateCachedQuery"),
    ("26000", "FetchPreparedStatement"),
    ("42P05", "StorePreparedStatement"),
    ("42704", "lookup_type_cache"),
}
# Those that DDL explains; after the others the server's statements are not known any more.
ALTERED = frozenset({"0A000", "XX000", "42704"})
# Classes of errors that may come behind the use of a sequence: of data and constraints, RAISE, deadlock, cancel.
RAN = frozenset({"22", "23", "40", "57", "P0"})
CANCELED = "57014"
# What PostgreSQL says to a Bind whose statement has other columns than its client was told.
CHANGED_ERROR = build.error_response_fields(
    {
        **dict.fromkeys("SV", "ERROR"),
        "C": "0A000",
        "M": "cached plan must not change result type",
        "R": "RevalidateCachedQuery",
    }
)
# And to all but ROLLBACK in a failed transaction.
ABORTED_ERROR = build.error_response_fields(
    {
        **dict.fromkeys("SV", "ERROR"),
        "C": "25P02",
        "M": "current transaction is aborted, commands ignored until end of transaction block",
        "F": "postgres.c",
        "L": "1745",
        "R": "exec_bind_message",
    }
)


def rescue(answer: Answer, client: Borrower, payload: bytes) -> bool:
    """Of a replica's ErrorResponse, ahead of which nothing was forwarded: whether the request is sent again elsewhere.

    A connection that PostgreSQL ends, or on which more was asked behind it, is closed: its loss is what follows.
    """
    fields = parse_error_response(payload)
    if answer.dialogue.pipeline.empty() or not client.begin_rescue(fields):
        return False
    answer.tenant.stats.error_count += 1
    if fields.get("V") in ("FATAL", "PANIC"):
        return True
    undo(answer, answer.dialogue.pipeline.fail())
    if len(answer.dialogue.pipeline) == 1:
        answer.dialogue.pipeline.skip_oldest()
        answer.retrying = True
    else:
        answer.forwarded = False
        answer.server.close("a read is sent to the primary, with those behind it")
    return True


def ends_unlent(answer: Answer, payload: bytes) -> bool:
    """Whether the connection ends right behind the answer that ends the loan: its client need not know."""
    client = answer.loan.client
    if (
        client is None
        or not client.hears_by_hub()
        or answer.dialogue.status != ord("I")
        or answer.dialogue.traces.pins
    ):
        return False
    if parse_error_response(payload).get("V") not in ("FATAL", "PANIC"):
        return False
    answer.server.condemn("PostgreSQL ends the connection")
    return True


def fail(answer: Answer, payload: bytes) -> bool:
    """ErrorResponse: drop what the server discards. True if the client must not see it."""
    pipeline = answer.dialogue.pipeline
    traces = answer.dialogue.traces
    fields = parse_error_response(payload)
    if answer.loan.client is None or not answer.loan.client.ours:
        answer.tenant.stats.error_count += 1
    traces.effects &= ~RECALLS  # there was nothing to recall, perhaps
    if fields.get("C", "")[:2] in RAN and not pipeline.is_ours():
        traces.sequences.advance()
    if fields.get("V") in ("FATAL", "PANIC"):
        client = answer.loan.client
        answer.loan.told = client is not None and not client.outlives_server()
        log.warning(
            "server error",
            server=answer.server.id,
            sqlstate=fields.get("C"),
            message=fields.get("M"),
            **(client.describe_request() if client is not None else {}),
        )
        return not answer.loan.told
    if traces.effects & SETS:
        traces.effects |= RESETS  # a setting that was refused has a value, too: which are the session's own?
    entry = pipeline.peek()
    if entry < 0:
        return answer.loan.client is None
    overdue = answer.loan.find_overdue() if fields.get("C") == CANCELED and not entry & SKIP else None
    if overdue is not None:
        answer.instead = overdue.error
    if entry & KIND in b"QSF":
        return _fail_query(answer, entry, fields)
    return _fail_request(answer, entry, fields, payload)


def _fail_query(answer: Answer, entry: int, fields: dict[str, str]) -> bool:
    """What ends with a ReadyForQuery of its own has failed."""
    dialogue = answer.dialogue
    due = dialogue.pipeline.oldest_note()
    if entry & SKIP:
        _fail_ours(answer, entry, due, fields)
        return True
    if entry & ~HALF == ord("Q"):
        dialogue.statements.unnamed = UNKNOWN_STATEMENT  # a Query that cannot be read does not end it
        if isinstance(due, Request):
            refuse(answer, due.refusal)
        if fields.get("C") == "26000" and dialogue.given.unreadable is not None:
            answer.instead = dialogue.given.unreadable
    dialogue.pipeline.fail()
    return False


def _fail_ours(answer: Answer, entry: int, due: Due | None, fields: dict[str, str]) -> None:
    """A Query of ours has, or a Sync. The second of two halves has not: the transaction has failed before."""
    if isinstance(due, Ours):
        due.failed(answer, fields)
    elif not entry & TAIL:
        fail_unexpectedly(fields)


def _fail_request(answer: Answer, entry: int, fields: dict[str, str], payload: bytes) -> bool:
    """A message of the extended protocol has failed, and with it all up to the next Sync."""
    pipeline = answer.dialogue.pipeline
    due = pipeline.failing_note()
    if entry & SKIP and pipeline.next_sync_is_ours():
        if isinstance(due, Give):
            answer.dialogue.given.unreadable = spell_error(payload)
        undo(answer, pipeline.fail())
        return True
    withheld, answer.withheld = answer.withheld, None
    if isinstance(due, Mention) and retry(answer, fields, due):
        return True
    answer.ahead = pipeline.take_fakes() + (withheld or b"")
    undo(answer, pipeline.fail())
    if isinstance(due, Mention):
        rename(answer, payload, due.server_name, due.name)
        refuse(answer, due.refusal)
    return False


def refuse(answer: Answer, refusal: Refusal | None) -> None:
    """The client gets our error instead of the server's, if we have made it fail."""
    if refusal is not None:
        if refusal.reason:
            answer.tenant.stats.refused_pin_counts[refusal.reason] += 1
        answer.instead = refusal.error
        if answer.loan.client is not None:
            answer.loan.client.refused(refusal.error)


def is_stale(fields: dict[str, str]) -> bool:
    """Whether a statement is out of date; XX000, 42704: an object was dropped, perhaps to be made again."""
    dropped = fields.get("C") == "XX000" and fields.get("M", "").startswith("cache lookup failed")
    return dropped or (fields.get("C"), fields.get("R")) in STALE


def retry(answer: Answer, fields: dict[str, str], due: Mention) -> bool:
    """If the request failed on an outdated statement and can be sent again, skip what is left of its answer."""
    statement = due.statement
    if statement is None or not is_stale(fields):
        return False
    client = answer.loan.client
    # The columns are others; after the other errors they may be the same, and who was told them is told if not.
    changed = fields["C"] == "0A000"
    if changed and client is not None and client.looks_elsewhere(statement):
        return False
    statement.renew()
    if fields["C"] not in ALTERED:
        answer.server.condemn("its prepared statements were changed unseen")  # and what else, is not known
    if (
        client is None
        or answer.forwarded
        or not client.begin_retry(due.name, changed and not due.tells_columns())
    ):
        return False
    undo(answer, answer.dialogue.pipeline.fail())
    if answer.dialogue.pipeline.empty():
        # A Flush ended the request; PostgreSQL discards what comes until a Sync.
        answer.dialogue.pipeline.skip(ord("S"))
        answer.server.write(build.sync())
    else:
        answer.dialogue.pipeline.skip_oldest()
    answer.retrying = True
    return True


def rename(answer: Answer, payload: bytes, ours: bytes, theirs: bytes) -> None:
    """In an ErrorResponse, call a statement by the name that its client gave it."""
    client = answer.loan.client
    if (
        answer.dialogue.status == ord("E")
        and b"\0C26000\0" in payload
        and client is not None
        and client.knows(theirs)
    ):
        # It has the statement, but no server can be given it in a failed transaction.
        answer.instead = ABORTED_ERROR
    elif ours and ours in payload:
        payload = payload.replace(b'"' + ours + b'"', b'"' + theirs + b'"')
        answer.instead = CHANGED_ERROR if ours == CHANGED else spell_error(payload)


def spell_error(payload: bytes) -> bytes:
    return b"E" + (len(payload) + 4).to_bytes(4, "big") + payload


def undo(answer: Answer, dropped: list[tuple[int, Due | None]]) -> None:
    """What the server did not do, latest first."""
    for place in reversed(range(len(dropped))):
        entry, due = dropped[place]
        if entry & KIND == ord("Q"):
            answer.dialogue.statements.unnamed = UNKNOWN_STATEMENT
        if isinstance(due, Sent):
            due.dropped(answer, entry, first=place == 0)
