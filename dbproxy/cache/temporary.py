"""What one session writes to temporary tables of its own, which nobody else sees: no answer that is kept depends on it.

A name that nothing in the database has may be more than that: a temporary view, which passes on what is written to it,
or a table with triggers, or with defaults that write. So a name counts once the session has made a table of it by a
plain CREATE TEMP TABLE, unless it has ever run what may have made something else of it: whether that was carried out,
or rolled back, is not seen. DROP TABLE and CREATE INDEX of a name that nothing has change nothing for others, whatever
it is.
"""

import re

from dbproxy.cache.fence import Fence
from dbproxy.cache.reading import is_builtin
from dbproxy.sql.access import UTILITY, quote
from dbproxy.sql.cache import TEXT_SHOWN
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.sql.statement import CREATES_TEMP

MOST = 1024  # names
_WORD = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAME = rf"((?:pg_temp\s*\.\s*)?{_WORD})"
_CREATE = re.compile(
    rf"CREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\s+TABLE\s+(IF\s+NOT\s+EXISTS\s+)?{_NAME}\s*(?:\(|AS\b)",
    re.IGNORECASE,
)
_INHERITS = re.compile(
    r"\b(?:INCLUDING|INHERITS|OF)\b", re.IGNORECASE
)  # defaults and the like of another table
_DROP = re.compile(
    rf"DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?({_NAME}(?:\s*,\s*{_NAME})*)(?:\s+RESTRICT)?\s*;?", re.IGNORECASE
)
_INDEX = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{_WORD}\s+)?ON\s+{_NAME}\s*(?:USING\s+\w+\s*)?\(",
    re.IGNORECASE,
)
_SURE = (
    "DROP",
    "INDEX",
    "CREATE",
    "ALTER TABLE",
)  # what cannot be told, and makes neither view nor trigger nor rule


def concerns(shape: Shape) -> bool:
    """Whether it may be about a temporary table, though its session has none yet that counts."""
    return bool(shape.access.opaque) or shape.effects.effects & CREATES_TEMP != 0


class Temporary:
    """Of one session. `names`: of tables, without schema; `others`: of what may be no plain table.

    `unsure`: it may have made anything.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.others: set[str] = set()
        self.unsure = False

    def narrow(self, shape: Shape, fence: Fence) -> Shape:
        """The statement, which is about to be sent, as far as others may see what it changes."""
        if shape.effects.effects & CREATES_TEMP:
            self.take(shape, fence)
            return shape
        if not fence.knows():
            return shape
        if shape.kind == UTILITY:
            return NO_SHAPE if self.is_of_nothing(shape, fence) else shape
        if not self.names or not shape.access.targets:
            return shape
        if any(name.removeprefix("pg_temp.") not in self.names for name in shape.access.targets):
            return shape
        written = fence.knowledge.find_targets(shape, temporary=True)  # type: ignore[union-attr]  # something was read
        return shape if written is None or written else NO_SHAPE

    def take(self, shape: Shape, fence: Fence) -> None:
        """It makes something temporary."""
        found = _CREATE.match(shape.text)
        if found is None or not shape.effects.single or len(self.others) >= MOST:
            self.give_up()
            return
        if len(self.names) >= MOST:
            self.names.clear()  # most are gone, with their transactions
        name = read_name(found[2])
        if found[1] or not self.is_plain(shape, fence):
            self.others.add(name)
        if not self.unsure and name not in self.others:
            self.names.add(name)
        else:
            self.names.discard(name)

    def is_plain(self, shape: Shape, fence: Fence) -> bool:
        """Whether what is written to the table that it makes surely changes nothing else."""
        if len(shape.text) >= TEXT_SHOWN or _INHERITS.search(shape.text) or calls_own(shape):
            return False
        return fence.knowledge is not None and fence.knowledge.find_targets(shape) == frozenset()

    def give_up(self) -> None:
        """Whatever is written from now on counts."""
        self.unsure = True
        self.names.clear()
        self.others.clear()

    def is_of_nothing(self, shape: Shape, fence: Fence) -> bool:
        """Whether it drops, or indexes, what nothing that others see is called like."""
        dropped, indexed = _DROP.fullmatch(shape.text), _INDEX.match(shape.text)
        if dropped is None and (indexed is None or shape.access.functions or not shape.effects.single):
            return False
        names = [read_name(found) for found in re.findall(_NAME, dropped[1])] if dropped is not None else []
        if indexed is not None:
            names.append(read_name(indexed[1]))
        if any(fence.knowledge.has(name) for name in names):  # type: ignore[union-attr]  # as above
            return False
        if dropped is not None:
            self.names.difference_update(names)
        return True

    def doubt(self, shape: Shape, fence: Fence) -> None:
        """What was sent may have changed what is defined; this, or what came before it in its transaction."""
        opaque, knowledge = shape.access.opaque, fence.knowledge
        if opaque in _SURE and not calls_own(shape):
            return
        if not opaque and knowledge is not None and knowledge.find_targets(shape, temporary=True) is not None:
            return
        self.give_up()


def calls_own(shape: Shape) -> bool:
    """Whether it names functions of the database's own: a default, perhaps, that is another by the time of a write."""
    return not all(map(is_builtin, shape.access.functions))


def read_name(text: str) -> str:
    """As sql.access spells it."""
    name = re.sub(r"^pg_temp\s*\.\s*", "", text, flags=re.IGNORECASE)
    return quote(name[1:-1].replace('""', '"') if name[:1] == '"' else name.lower())
