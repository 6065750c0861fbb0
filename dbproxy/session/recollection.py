"""What sequences have given out to one client, on whichever server: `currval` and `lastval` are answered from it.

It is asked for behind each transaction that may have used a sequence (pool.recall). Inside such a transaction
PostgreSQL knows it itself.
"""

from collections.abc import Mapping

from dbproxy.pool.insertions import spell_ours
from dbproxy.pool.parameters import literal
from dbproxy.pool.recall import ALL, UNUSED
from dbproxy.pool.server import Server
from dbproxy.pool.tenant import Tenant
from dbproxy.session.signals import Values, read_operand
from dbproxy.sql.calls import Call
from dbproxy.sql.statement import ADVANCES, DISCARDED, FORGOT, RECALLS, Statement

NAME_LIMIT = 256  # with its schema, and quotes


class Recollection:
    """One client's. `last`: what `lastval` said; `given`: what `currval` said, by the sequence's oid.

    Both are of `era` (pool.recall). `calls`: the texts of this transaction call nextval or setval.
    """

    __slots__ = ("calls", "era", "given", "last", "server", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.era = tenant.recall.era
        self.calls = False
        self.last: int | None = None
        self.given: dict[int, int] = {}
        self.server: Server | None = (
            None  # which knows it, too, if nobody else has used a sequence there since
        )

    def use(self, server: Server, statement: Statement, effects: int, simple: bool) -> tuple[bytes, int]:
        """Messages ahead of what uses sequences: what currval says is the client's own, or an error. And its effects.

        Who recalls what is not known to be of the same transaction, in a way that the proxy does not answer (`answer`),
        keeps its server from then on.
        """
        sequences, status = server.dialogue.traces.sequences, server.dialogue.status
        if effects & ADVANCES:
            self.calls = True
        if not effects & RECALLS:
            sequences.advance()
            return b"", effects
        if statement.bare or statement.inserts_first or (sequences.advanced and status == ord("T")):
            effects &= ~RECALLS
        else:
            self.tenant.recalls = True
        self.tenant.recall.want()
        foreign = sequences.foreign and not sequences.advanced and status == ord("I")
        if not statement.bare:
            sequences.advance()
        return spell_discard(server, simple) if foreign else b"", effects

    def doubts(self, server: Server, before: Server | None) -> bool:
        """Whether the server may not know what this client used last; `before`: which it was lent before this one."""
        return server.loan.changed or (before is not server and not self.tenant.recall.asks)

    def knows_better(self, server: Server) -> bool:
        """Whether what sequences gave out on the server is not the last that they gave this client."""
        if not (self.tenant.recall.asks or self.tenant.recalls):
            return False
        return server.loan.changed or (self.tenant.recall.asks and self.server is not server)

    def is_known_to(self, server: Server) -> bool:
        """Whether the server has to answer, which has used one in this transaction, or is kept for that."""
        traces = server.dialogue.traces
        return traces.sequences.advanced or "sequence" in traces.pins

    def answer(self, server: Server, call: Call, values: Values) -> str:
        """What answers the call, "" if the server does; then the server is asked, so that the next one is answered."""
        sequence = "" if call.name == "lastval" else spell_sequence(call, values)
        if sequence is None or not self.tenant.recall.want(sequence):
            server.dialogue.traces.effects |= RECALLS  # the statement pins
            self.tenant.recalls = True
            return ""
        self.forget_the_era_before()
        if call.name == "lastval":
            answer = [] if self.last is None else [f" WHEN true THEN {_number(self.last)}"]
        else:
            oid = f"({call.argument.decode()})::pg_catalog.regclass::pg_catalog.oid"
            answer = [
                f" WHEN {oid} OPERATOR(pg_catalog.=) '{sequence_id}'::pg_catalog.oid THEN {_number(value)}"
                for sequence_id, value in self.given.items()
            ]
        return "CASE" + "".join(answer) if answer else ""

    def conclude(self, server: Server, recalled: tuple[int, ...] | None, effects: int) -> None:
        """Take over what the server says; None: nothing; better an error than an old number.

        A server that knows no `lastval` may have been told a number by `setval`.
        """
        self.forget_the_era_before()
        unsure = recalled is None or (self.calls and not recalled)
        if effects & (FORGOT | DISCARDED) or (effects & ADVANCES and unsure):
            self.forget()
        self.calls = False
        if recalled:
            self.last = recalled[0]
            self.given = renew(self.given, dict(zip(recalled[1::2], recalled[2::2], strict=True)))
            self.server = server

    def forget(self) -> None:
        self.last = None
        self.given.clear()

    def forget_the_era_before(self) -> None:
        """What was told ahead of transactions that nobody was asked about."""
        if self.era != self.tenant.recall.era:
            self.era = self.tenant.recall.era
            self.forget()


def renew(given: Mapping[int, int], told: Mapping[int, int]) -> dict[int, int]:
    """What sequences have given out by now: where one was not asked for, it may be another number."""
    known = {
        sequence: number
        for sequence, number in given.items()
        if told.get(-sequence, UNUSED if ALL in told else 0) == UNUSED
    }
    return known | {sequence: number for sequence, number in told.items() if sequence > ALL}


def spell_discard(server: Server, simple: bool) -> bytes:
    """Messages by which the server forgets what sequences gave out."""
    server.dialogue.traces.sequences.forget()
    return spell_ours(server.dialogue, ["DISCARD SEQUENCES"], simple)


def spell_sequence(call: Call, values: Values) -> str | None:
    """SQL for the sequence that `currval` is called for, "" if that is NULL; None: it is better not asked for."""
    names = []
    for operand in call.operands:
        value, binary = read_operand(operand, values)
        if value is None:
            return ""
        name = value.decode(errors="replace")
        if binary and not _is_plain(name):
            name = str(int.from_bytes(value, "big"))  # an oid
        elif not _is_plain(name):
            return None
        names.append(literal(name))
    spelled = ", ".join(names)
    return f"pg_catalog.pg_get_serial_sequence({spelled})" if call.serial else spelled


def _is_plain(name: str) -> bool:
    """Whether every server can read it: a question that it cannot read it does not answer at all."""
    return name.isascii() and name.isprintable() and len(name) < NAME_LIMIT


def _number(value: int) -> str:
    return f"'{value}'::pg_catalog.int8"
