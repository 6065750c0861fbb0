"""Which tables an answer depends on, or why it cannot be kept.

a table, partitioned or not   itself and what hangs below it, and what its policies (row security) read
a view                        what its query reads
a materialized view           itself: REFRESH writes it
a function in SQL             what its text reads
other functions, operators    nothing if they are immutable; if not, what they read is not known

PostgreSQL takes it on trust that a function is immutable. Of one in SQL or PL/pgSQL that is called so, the tables that
its text names count all the same.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dbproxy.cache.definitions import (
    FOREIGN,
    IMMUTABLE,
    MATERIALIZED,
    PARTITIONED,
    PERMANENT,
    SEQUENCE,
    TABLE,
    VIEW,
    Definitions,
    Function,
    Relation,
)
from dbproxy.sql.access import READ, UNSEEN, WRITE, Access
from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.constants import has_moment
from dbproxy.sql.relations import is_own
from dbproxy.sql.rows import Place
from dbproxy.sql.statement import Statement

Examine = Callable[[str], tuple[Statement, Access]]
Inspect = Callable[[str], Access]

MOMENT = "a value may be the time"
_NAMES = re.compile(r' ".*"| \w+\(\)')
_FAULTS = {FOREIGN: "is on another server", SEQUENCE: "is a sequence"}
_VOLATILITIES = {"s": "stable", "v": "volatile"}


@dataclass(frozen=True, slots=True)
class Row:
    """Or several, of one table: where a statement has the values of the column by which they are told apart."""

    table: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """`tables`: their OIDs. `reason`: why the answer cannot be kept, "" if it can.

    `row`: all that it reads of its table.
    """

    tables: frozenset[int] = frozenset()
    reason: str = ""
    row: "Row | None" = None


@dataclass(slots=True)
class Reading:
    """Of one text, through all that is defined. `inspect` looks at a function's body in PL/pgSQL.

    `passing`: its tables are asked for, and not whether to keep it.
    """

    definitions: Definitions
    examine: Examine
    inspect: Inspect
    passing: bool = False
    tables: set[int] = field(default_factory=set)
    seen: set[Relation | Function] = field(default_factory=set)
    trusted: set[Function] = field(default_factory=set)  # called by what is immutable
    again: set[Relation] = field(default_factory=set)  # what is read by more than one way

    def read(self, statement: Statement, access: Access) -> str:
        """Take in what a text reads; why its answer cannot be kept, or ""."""
        if reason := self._find_fault(statement, access):
            return reason
        for name in sorted(access.relations):
            if name not in self.definitions.named:
                return f'unknown relation "{name}"'
            for relation in self.definitions.named[name]:
                if reason := self.read_relation(relation):
                    return reason
        for name in sorted(access.functions):
            if name not in self.definitions.called and not is_builtin(name):
                return f'unknown function "{name}"'
            if reason := self.call(*self.definitions.called.get(name, ())):
                return reason
        if reason := self.call(*self.definitions.find_operators(access.operators)):
            return f"operator: {reason}"
        return f"cast: {reason}" if (reason := self.call(*self.definitions.casts)) else ""

    def read_text(self, text: str) -> str:
        reason = self._find_moment(text) or self.read(*self.examine(text))
        return reason or self.call(*self.definitions.find_columns(text))

    def read_relation(self, relation: Relation) -> str:
        if relation in self.seen:
            self.again.add(relation)
            return ""
        self.seen.add(relation)
        if relation.kind == VIEW:
            return _within("view", relation.name, self._expand(relation, relation.query))
        if relation.kind not in (TABLE, PARTITIONED, MATERIALIZED):
            return f'relation "{relation.name}" {_FAULTS[relation.kind]}'
        if relation.persistence != PERMANENT:
            return f'table "{relation.name}" is unlogged'
        self.tables.add(relation.oid)
        if relation.kind == MATERIALIZED:
            return ""
        for child in relation.children:
            if reason := self.read_relation(child):
                return reason
        return _within("row security of", relation.name, self._expand(relation, *relation.policies))

    def _expand(self, relation: Relation, *texts: str) -> str:
        """What pg_depend says that these texts use, and what they say of PostgreSQL's own."""
        for text in texts:
            if reason := self._find_moment(text) or self._find_fault(*self.examine(text)):
                return reason
        for used in relation.reads:
            if reason := self.read_relation(used):
                return reason
        return self.call(*relation.calls)

    def _find_fault(self, statement: Statement, access: Access) -> str:
        return _find_gap(access) if self.passing else _find_fault(statement, access)

    def _find_moment(self, text: str) -> str:
        """Whether what it has defined has such a value; that of a request is looked at each time."""
        return MOMENT if not self.passing and has_moment(text) else ""

    def call(self, *functions: Function) -> str:
        for function in functions:
            if function not in self.seen:
                self.seen.add(function)
                if reason := self._call(function):
                    return reason
        return ""

    def _call(self, function: Function) -> str:
        if function.vouched is not None:
            return next(filter(None, map(self.read_relation, function.vouched)), "")
        if function.aggregate:
            return _within("aggregate", function.name, self.call(*function.uses))
        if reason := function.defaults and self.read_text(function.defaults):
            return _within("default of an argument of", function.name, reason)
        if function.volatility == IMMUTABLE:
            return _within("function", function.name, self._trust(function))
        if function.language == "sql" and function.source:
            return _within("function", function.name, self.read_text(function.source))
        return f'function "{function.name}" is {_VOLATILITIES[function.volatility]}, in {function.language}'

    def _trust(self, function: Function) -> str:
        """Take in the tables that it names, and nothing else that it does."""
        if function in self.trusted:
            return ""
        self.trusted.add(function)
        access = look_into(function, self.examine, self.inspect)
        for name in sorted(access.relations):
            for relation in self.definitions.named.get(name, ()):
                if reason := self.read_relation(relation):
                    return reason
        called = (self.definitions.called.get(name, ()) for name in sorted(access.functions))
        return next(filter(None, (self._trust(one) for some in called for one in some)), "")


def look_into(function: Function, examine: Examine, inspect: Inspect) -> Access:
    """What its text names; nothing if it cannot be read."""
    if function.language == "sql":
        return examine(function.source)[1]
    return inspect(function.source) if function.language == "plpgsql" else UNSEEN


def kind_of(reason: str) -> str:
    """A reason without names, so that it can be counted."""
    return _NAMES.sub("", reason.rpartition('": ')[2])


def is_builtin(name: str) -> bool:
    return name.removeprefix("pg_catalog.") in BUILTINS


def _find_gap(access: Access) -> str:
    """Why what a text reads cannot be told by the relations that it names."""
    if access.kind != READ or access.opaque or access.reads_unnamed:
        return "it is no query, or reads what it does not name"
    return "it reads relations of PostgreSQL itself" if any(map(_is_own, access.relations)) else ""


def _find_fault(statement: Statement, access: Access) -> str:
    """What is wrong with a text by itself."""
    if access.kind == WRITE:
        return "it writes"
    if access.unsteady:
        return access.unsteady
    if not statement.reads:
        return "it is no read, or asks its server or session"
    own = sorted(name for name in access.relations if _is_own(name))
    return f'relation "{own[0]}" is of PostgreSQL itself' if own else ""


def _is_own(name: str) -> bool:
    schema, _, relation = name.rpartition(".")
    return is_own(schema, relation)


def _within(what: str, name: str, reason: str) -> str:
    return f'{what} "{name}": {reason}' if reason else ""
