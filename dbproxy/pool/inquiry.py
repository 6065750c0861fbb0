"""Asking a server what its session has become (pool.audit is the question), and what follows from the answer.

No transaction is open and nothing is due, but the client's next request may be under way already, and run before an
answer that PostgreSQL did not give is asked for again.
"""

from time import monotonic

import structlog

from dbproxy.pool.answer import Answer
from dbproxy.pool.audit import SETTINGS, Audit, pins_after, settings_after
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.dues import Ours, fail_unexpectedly
from dbproxy.pool.recall import LANGUAGE
from dbproxy.pool.tenant import Tenant
from dbproxy.sql.statement import ADVANCES, WRITES
from dbproxy.wire import build

log = structlog.get_logger(__name__)

# Said by a server that tells no positions to this user (Aurora; functions that were revoked), or is a replica by now.
SILENT = frozenset({"0A000", "42501", "42883", "55000"})
TRIES = 3  # an audit may be hit by a cancel or a timeout that was meant for what ran before it


def inquire(dialogue: Dialogue, tenant: Tenant) -> bytes:
    """The message that asks what was left behind."""
    traces = dialogue.traces
    tenant.stats.audit_count += 1
    names = traces.touched
    if traces.effects & SETTINGS:  # custom ones are not listed
        names = names | {name for name in dialogue.settings.values if "." in name}
    audit = Audit(traces.effects, names, tenant.recall)
    traces.sequences.advanced = False
    traces.effects = 0
    traces.touched = set()
    if audit.effects & WRITES and not traces.unplaced:
        traces.unplaced = True
        tenant.commits.begin()
    return ask(dialogue, audit)


def ask(dialogue: Dialogue, audit: Audit) -> bytes:
    dialogue.traces.tries += 1
    dialogue.traces.asked = audit.effects & ~WRITES
    dialogue.pipeline.skip(ord("Q"), Inquiry(audit))
    dialogue.statements.unnamed = None
    return build.query(audit.spell())


class Inquiry(Ours):
    """An audit on its way."""

    __slots__ = ("audit",)

    def __init__(self, audit: Audit) -> None:
        self.audit = audit

    def done(self, answer: Answer) -> None:
        answer.server.conclude(self.audit)

    def failed(self, answer: Answer, fields: dict[str, str]) -> None:
        """The audit is asked for again, if not too often."""
        if self.audit.effects & ADVANCES and LANGUAGE in fields.get("M", ""):
            forgo_sequences(answer.tenant, self.audit, fields)
        elif self.audit.effects & WRITES and fields.get("C") in SILENT:
            if answer.loan.writes is not None:
                answer.loan.writes.unplaced.lose(monotonic())
            misplace(answer.dialogue, answer.tenant, answer.loan.client, self.audit, fields)
        elif answer.dialogue.traces.tries >= TRIES:
            fail_unexpectedly(fields)


def forgo_sequences(tenant: Tenant, audit: Audit, fields: dict[str, str]) -> None:
    """The server does not tell what sequences gave out: who recalls it pins."""
    audit.effects &= ~ADVANCES
    tenant.recall.give_up()
    log.warning(
        "currval and lastval pin: the server does not say what sequences gave out",
        database=tenant.database,
        user=tenant.user,
        reason=fields.get("M"),
        hint="It is asked by a DO block: the user needs the language plpgsql.",
    )


def misplace(
    dialogue: Dialogue, tenant: Tenant, client: Borrower | None, audit: Audit, fields: dict[str, str]
) -> None:
    """The server does not tell where the commit is: only what everybody has is known to have it."""
    audit.effects &= ~WRITES
    dialogue.traces.unplaced = False
    tenant.commits.lose(monotonic())
    if client is not None:
        client.misplaced()
    if tenant.tells_positions:
        tenant.tells_positions = False
        log.warning(
            "commits are not told apart: the server does not say where its WAL ends",
            database=tenant.database,
            user=tenant.user,
            reason=fields.get("M"),
            hint="GRANT EXECUTE ON FUNCTION pg_current_wal_insert_lsn() to the user; until then a session's reads stay "
            "on the primary for longer after it wrote",
        )


def conclude(dialogue: Dialogue, tenant: Tenant, client: Borrower | None, audit: Audit) -> bytes:
    """The question is over: take over the answer, or ask again. What is to be sent, of ours."""
    traces = dialogue.traces
    traces.asked = 0
    answer = audit.answer
    if answer is None:
        return repeat(dialogue, client, audit)
    traces.tries = 0
    if answer.position is not None:
        traces.unplaced = False
        tenant.commits.end(answer.position)
        if client is not None:
            client.committed(answer.position)
        if audit.effects == WRITES:
            return b""
    if answer.recalled is not None:
        traces.sequences.known = bool(answer.recalled)
    traces.listens = bool(answer.channels) if answer.channels is not None else traces.listens
    values = settings_after(dialogue.settings, answer, tenant.user)
    dialogue.settings = tenant.parameter_sets.find(values)
    traces.pins = pins_after(traces.pins, audit.effects, answer)
    if client is not None:
        client.audited(answer, audit.effects)
    elif traces.pins or answer.prepared or answer.channels:
        traces.pins = frozenset()
        dialogue.pipeline.skip(ord("Q"))
        return build.query("DISCARD ALL")
    return b""


def repeat(dialogue: Dialogue, client: Borrower | None, audit: Audit) -> bytes:
    """PostgreSQL would not answer: ask again, later if what the client has sent behind it may be a transaction's."""
    if not audit.effects:
        dialogue.traces.tries = 0
    elif client is None:
        return ask(dialogue, audit)
    else:
        dialogue.traces.effects |= audit.effects
        dialogue.traces.touched.update(audit.names)
    return b""
