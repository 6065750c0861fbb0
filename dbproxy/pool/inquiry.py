"""Asking a server what its session has become (pool.audit is the question), and what follows from the answer.

No transaction is open and nothing is due, but the client's next request may be under way already, and run before an
answer that PostgreSQL did not give is asked for again.
"""

from time import monotonic
from typing import TYPE_CHECKING

import structlog

from dbproxy.errors import ProtocolViolation, SessionLost
from dbproxy.pool.audit import SETTINGS, Audit, pins_after, settings_after
from dbproxy.pool.insertions import OPTIONAL
from dbproxy.pool.parameters import Parameters
from dbproxy.sql.statement import WRITES
from dbproxy.wire import build
from dbproxy.wire.pipeline import TAIL

if TYPE_CHECKING:
    from dbproxy.pool.relay import Relay
    from dbproxy.pool.server import Server

log = structlog.get_logger()

# Said by a server that tells no positions to this user (Aurora; functions that were revoked), or is a replica by now.
SILENT = frozenset({"0A000", "42501", "42883", "55000"})
TRIES = 3  # an audit may be hit by a cancel or a timeout that was meant for what ran before it


def inquire(server: "Relay") -> None:
    """Ask what was left behind."""
    traces = server.traces
    server.stats.audit_count += 1
    names = traces.touched
    if traces.effects & SETTINGS:  # custom ones are not listed
        names = names | {name for name in server.settings.values if "." in name}
    audit = Audit(traces.effects, names)
    traces.effects = 0
    traces.touched = set()
    if audit.effects & WRITES and not traces.unplaced:
        traces.unplaced = True
        server.pool.commits.begin()
    ask(server, audit)


def ask(server: "Relay", audit: Audit) -> None:
    server.traces.tries += 1
    server.traces.asked = audit.effects & ~WRITES
    server.framer.look_at_rows()
    server.pipeline.skip(ord("Q"), audit)
    server.statements.unnamed = None
    server.write(build.query(audit.spell()))


def ask_later(server: "Relay", audit: Audit) -> None:
    """PostgreSQL would not answer. What the client has sent behind the question may have begun a transaction."""
    if server.client is None:
        ask(server, audit)
    else:
        server.traces.effects |= audit.effects
        server.traces.touched.update(audit.names)


def fail_ours(server: "Relay", fields: dict[str, str]) -> bool:
    """A Query of our own failed. True: the client does not see it."""
    note = server.pipeline.oldest_note()
    if server.pipeline.peek() & TAIL:
        return True  # the transaction has failed before
    if isinstance(note, Audit) and note.effects & WRITES and fields.get("C") in SILENT:
        misplace(server, note, fields)
        return True
    if isinstance(note, Audit) and server.traces.tries < TRIES:
        return True
    if note is OPTIONAL:
        return True
    if isinstance(note, Parameters):
        raise SessionLost(
            f"the session's settings cannot be given to another server connection: {fields.get('M')}",
            sqlstate=fields.get("C", ""),
        )
    raise ProtocolViolation(f"a statement of ours failed: {fields.get('C')} {fields.get('M')}")


def misplace(server: "Relay", audit: Audit, fields: dict[str, str]) -> None:
    """The server does not tell where the commit is: only what everybody has is known to have it."""
    audit.effects &= ~WRITES
    server.traces.unplaced = False
    pool = server.pool
    pool.commits.lose(monotonic())
    if server.client is not None:
        server.client.misplaced()
    if pool.tells_positions:
        pool.tells_positions = False
        log.warning(
            "commits are not told apart: the server does not say where its WAL ends",
            database=pool.database,
            user=pool.user,
            reason=fields.get("M"),
            hint="GRANT EXECUTE ON FUNCTION pg_current_wal_insert_lsn() to the user; until then a session's reads stay "
            "on the primary for longer after it wrote",
        )


def conclude(server: "Server", audit: Audit) -> None:
    """The question is over: take over the answer, or ask again."""
    traces = server.traces
    server.framer.pass_rows()
    traces.asked = 0
    answer = audit.answer
    if answer is None:
        if audit.effects:
            ask_later(server, audit)
        else:
            traces.tries = 0
        return
    traces.tries = 0
    if answer.position is not None:
        traces.unplaced = False
        server.pool.commits.end(answer.position)
        if server.client is not None:
            server.client.committed(answer.position)
        if audit.effects == WRITES:
            return
    traces.listens = bool(answer.channels) if answer.channels is not None else traces.listens
    values = settings_after(server.settings, answer, server.pool.user)
    server.settings = server.pool.parameter_sets.find(values)
    traces.pins = pins_after(traces.pins, audit.effects, answer)
    if server.client is not None:
        server.client.audited(answer, audit.effects)
    elif traces.pins or answer.prepared or answer.channels:
        traces.pins = frozenset()
        server.send_ours("DISCARD ALL")
