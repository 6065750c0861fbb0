"""Which tables running a text may change.

    a table                       itself and what hangs below it; by foreign keys, what refers to it
    a view that is written        what it reads
    a function, a trigger         what its text writes, in SQL and PL/pgSQL; of others, if volatile, nobody knows
    one that is not volatile      what the volatile ones write that its text calls: PostgreSQL lets it
    a rule, INSTEAD OF            nobody knows

What nobody knows may be anything. PostgreSQL's own functions change no table but for those that run a text.
"""

from dataclasses import dataclass, field

from dbproxy.cache.definitions import (
    CASCADE,
    CHANGING,
    MATERIALIZED,
    PARTITIONED,
    VIEW,
    VOLATILE,
    Definitions,
    Function,
    Relation,
)
from dbproxy.cache.reading import Examine, Inspect, is_builtin, look_into
from dbproxy.sql.access import CASCADES, DELETES, INSERTS, TRUNCATES, UPDATES, Access
from dbproxy.sql.functions import EFFECTS
from dbproxy.sql.statement import UNKNOWN

# Of extensions, in C, volatile or triggers: they write nothing but the row at hand.
_HARMLESS = """
    autoinc gen_random_bytes gen_random_uuid gen_salt insert_username moddatetime uuid_generate_v1 uuid_generate_v1mc
    uuid_generate_v4
"""


class Unknown(Exception):
    """What a text changes cannot be told."""


@dataclass(slots=True)
class Writing:
    """Of one text, through all that is defined. `inspect` looks at a function's body in PL/pgSQL."""

    definitions: Definitions
    examine: Examine
    inspect: Inspect
    written: dict[Relation, int] = field(default_factory=dict)  # and how
    again: set[Relation] = field(default_factory=set)  # what is written by more than one way
    seen: set[Relation | Function] = field(default_factory=set)

    def run(self, access: Access, temporary: bool = False) -> None:
        """Take in what a text changes. `temporary`: a table that nobody knows is one of the session's own. Unknown."""
        if access.opaque:
            raise Unknown
        for name in access.targets:
            relations = self.definitions.named.get(name)
            if not relations and not temporary:
                raise Unknown
            for relation in relations or ():
                self.write(relation, access.events)
        self._evaluate(access)
        if any(name not in self.definitions.called and not is_builtin(name) for name in access.functions):
            raise Unknown

    def _evaluate(self, access: Access) -> None:
        """Take in what functions do, those that are called and those of views that are read."""
        for name in access.functions:
            if EFFECTS.get(name.rpartition(".")[2], 0) & UNKNOWN:
                raise Unknown
            self.call(*self.definitions.called.get(name, ()))
        self.call(*self.definitions.find_operators(access.operators), *self.definitions.casts)
        for name in access.relations:
            self.read(*self.definitions.named.get(name, ()))

    def read(self, *relations: Relation) -> None:
        for relation in relations:
            if relation not in self.seen and relation.kind != MATERIALIZED:  # its query is not run
                self.seen.add(relation)
                self.call(*relation.calls)
                self.read(*relation.reads, *relation.children)

    def write(self, relation: Relation, events: int) -> None:
        if events & UPDATES and relation.kind == PARTITIONED:
            events |= INSERTS | DELETES  # a row may move to another partition
        if relation in self.written:
            self.again.add(relation)
        before = self.written.get(relation, 0)
        if not events & ~before and relation in self.written:
            return
        self.written[relation] = before | events
        if relation.rules & events:
            raise Unknown
        for below in relation.reads if relation.kind == VIEW else relation.children:
            self.write(below, events)
        self.call(*relation.calls, *relation.fills)
        self.read(*relation.reads)
        self.call(*(function for happening, function in relation.triggers if happening & events))
        for key in relation.keys:
            if passed := _pass_on(events, key.on_delete, key.on_update):
                self.write(key.table, passed)

    def call(self, *functions: Function) -> None:
        for function in functions:
            if function not in self.seen:
                self.seen.add(function)
                self._call(function)

    def _call(self, function: Function) -> None:
        if function.vouched is not None:
            return
        if function.defaults:
            self._run_text(function.defaults)
        if function.aggregate:
            self.call(*function.uses)
        elif function.volatility != VOLATILE:
            self._look_through(function)
        elif _is_harmless(function):
            return
        elif function.language == "sql" and function.source:
            self._run_text(function.source)
        elif function.language == "plpgsql" and function.source:
            self._run_body(function.source)
        else:
            raise Unknown

    def _look_through(self, function: Function) -> None:
        """It writes nothing itself."""
        access = look_into(function, self.examine, self.inspect)
        for name in access.functions:
            self.call(*filter(_is_read, self.definitions.called.get(name, ())))
        for name in access.relations:
            self.read(*self.definitions.named.get(name, ()))

    def _run_text(self, text: str) -> None:
        self.run(self.examine(text)[1])
        self.call(*self.definitions.find_columns(text))

    def _run_body(self, body: str) -> None:
        """Of a function in PL/pgSQL, where many a name is none of a function or relation."""
        access = self.inspect(body)
        if access.opaque:
            raise Unknown
        for name in access.targets:
            if name not in self.definitions.named:
                raise Unknown
            for relation in self.definitions.named[name]:
                self.write(relation, access.events)
        self._evaluate(access)
        self.call(*self.definitions.find_columns(body))


def _is_read(function: Function) -> bool:
    """Whether its text is known; if not, whoever calls it is taken at their word."""
    return function.aggregate or bool(function.source)


def _is_harmless(function: Function) -> bool:
    return function.language in ("c", "internal") and function.name.rpartition(".")[2] in _HARMLESS.split()


def _pass_on(events: int, on_delete: str, on_update: str) -> int:
    """What a foreign key does to the table that refers to one to which these happen."""
    passed = 0
    if events & DELETES and on_delete in CHANGING:
        passed |= DELETES if on_delete == CASCADE else UPDATES
    if events & UPDATES and on_update in CHANGING:
        passed |= UPDATES
    if events & CASCADES:
        passed |= events & (TRUNCATES | CASCADES)
    return passed
