"""The identity of a statement: a `Shape` for all texts that differ in nothing but values and comments.

The statistics, the traces, the cache and the limits of a statement are its shape's. Its hash is the same in every
process and after every restart. What a text of it *does* is its verdict (`effects`), which many shapes share; where a
literal decides that (`set_config('…')`), each text has a Shape of its own, which is counted with that of its `base`.
"""

from hashlib import blake2b

from dbproxy.sql.access import UNSEEN, Access
from dbproxy.sql.statement import HARMLESS, Statement


class Shape:
    """`text` is bounded and without literals; the rest is what `sql.access` has found, and what was counted."""

    def __init__(
        self, hashed: int, text: str, effects: Statement, access: Access, base: "Shape | None" = None
    ) -> None:
        self.hash = hashed
        self.text = text
        self.effects = effects
        self.harmless = effects.harmless
        self.hinted = bool(effects.hint)
        self.begins = effects.begins or effects.begins_read_only  # a transaction that may only read
        self.base = base
        self.access = access
        self.kind = access.kind
        self.relations = access.relations
        self.targets = access.targets
        self.functions = access.functions
        self.ends_transaction = access.ends_transaction
        self.rows = access.rows
        self.calls = 0
        # What the router of its database and user says of it, in a version of that.
        self.verdict = ""
        self.judged_in = 0
        self.reach: object = None  # what it reads and writes, where that is known (cache.fence)
        self.statistics: object = None  # of its statistics, where there are any

    def identity(self) -> "Shape":
        """The one that stands for all texts of the shape."""
        return self if self.base is None else self.base

    def count(self) -> None:
        """It is sent."""
        if self.base is None:
            self.calls += 1
        else:
            self.base.calls += 1

    def name(self) -> str:
        """Its hash as it is shown."""
        return f"{self.hash:016x}"


def hash_key(key: bytes) -> int:
    """64 bits."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


NO_SHAPE = Shape(0, "", HARMLESS, UNSEEN)  # where there is no statement
# All messages of this name: which function they call is a number.
FUNCTION_CALL = Shape(hash_key(b"FunctionCall"), "(function call)", HARMLESS, UNSEEN)
