"""What a batch goes through, chunk by chunk: `run`, `load` and `copy` differ in this alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dbproxy.jobs.batch.key import Cursor
from dbproxy.jobs.batch.ledger import Part
from dbproxy.jobs.primary import Connection

NO_TABLE = "With its schema, if that is not in search_path; in double quotes, if it is not all in lower case."


@dataclass(frozen=True, slots=True)
class Chunk:
    """From behind `after` (None: the beginning) up to `upto`; `rows`: how many it holds, or more than it does.

    Where both are the same, it is that row alone. `content` is what a source has read of it already; `without`: rows
    that it goes without, as others have them, once the rest was taken.
    """

    after: Cursor | None
    upto: Cursor
    rows: int
    content: bytes = b""
    without: tuple[Cursor, ...] | None = None


@dataclass(eq=False)
class Fault(Exception):
    """One of the rows of a chunk cannot be changed; in PostgreSQL's words, or in those of the source."""

    sqlstate: str
    message: str
    detail: str = ""
    constraint: str = ""


class Afresh(Exception):
    """The chunk was rolled back, and is to be carried out once more: the source goes another way then."""


class Chunks(Protocol):
    """What a worker asks for, of one of its connections. What that says is raised as it is (asyncpg's errors)."""

    async def check(self, connection: Connection) -> None:
        """From time to time: JobFailed if what it goes through is not what it was."""

    async def ready(self, part: Part, rows: int) -> bool:
        """Whether `find` can answer by what the database knows, or was read; False a moment later, if it cannot yet."""

    async def find(self, connection: Connection, part: Part, rows: int) -> Chunk | None:
        """The next chunk of a part, of at most so many rows; None: there are no more."""

    async def take(self, connection: Connection, chunk: Chunk) -> list[Cursor]:
        """In the chunk's transaction: lock those of its rows that nobody else has; which others have."""

    async def carry_out(self, connection: Connection, chunk: Chunk) -> int:
        """In the chunk's transaction: how many rows were changed. Fault, as errors about data, has it searched.

        Raises Afresh, too.
        """

    async def halve(self, connection: Connection, chunk: Chunk) -> tuple[Chunk, Chunk] | None:
        """None if it is one row, or none."""

    async def name(self, connection: Connection, chunk: Chunk) -> Cursor | None:
        """What the only row of a chunk is called in batch_errors; None if it is gone."""


class Source(Chunks, Protocol):
    """One for each batch, shared by its workers."""

    @property
    def kind(self) -> str: ...  # run, load, copy
    @property
    def statement(self) -> str: ...  # by which it is known again
    @property
    def target(self) -> str: ...  # the table
    @property
    def key(self) -> tuple[str, ...]: ...  # its columns; of what `name` says
    @property
    def options(self) -> Mapping[str, Any]: ...  # what else `kinds.restore` makes it of, as JSON

    async def prepare(self, connection: Connection) -> None:
        """Look at what there is, before anything else is called. JobRefused if it cannot be done."""

    async def close(self) -> None:
        """Let go of what `prepare` has taken, even if it failed."""

    async def plan(self, connection: Connection, rows: int) -> list[str]:
        """What it would do, in lines for people; the first chunk would have so many rows."""

    async def rehearse(self, connection: Connection) -> None:
        """Have the server plan what it can of it, for no rows: mistakes are raised as it says them."""

    async def divide(self, connection: Connection, workers: int) -> list[tuple[Cursor | None, Cursor | None]]:
        """Where each part begins (behind that) and ends, at the start of a batch; none if there is nothing at all."""

    async def estimate(self, connection: Connection) -> int:
        """How many rows or lines it will see, about; 0: not known."""

    async def carry_out_one(self, connection: Connection, key: Cursor) -> int:
        """The same for the row that `name` has called so."""

    @property
    def litters(self) -> bool: ...  # leaves dead rows, so that the target is to be vacuumed now and then

    async def sweep(self, connection: Connection) -> Cursor | None:
        """To which place all is gone through once more, after the first round; None: it is not."""

    async def finish(self, connection: Connection, batch: str) -> None:
        """A run of it begins, or ends, however that is: leave behind what it is to leave, of all until then."""

    async def verify(self, connection: Connection) -> int | None:
        """How many rows are left that it is for; None: that cannot be known."""
