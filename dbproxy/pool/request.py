"""A client's request: what one ReadyForQuery answers, a Query or all up to a Sync."""

from dbproxy.sql.identity import Shape
from dbproxy.wire.due import Due
from dbproxy.wire.pipeline import Pipeline

NO_TEXT = -1  # `at`: the text is a Parse's body, or there is none


class Refusal:
    """The client gets `error`, an ErrorResponse of ours, instead of the server's.

    `reason`: of the pin that is refused; "" if it is no pin.
    """

    __slots__ = ("error", "reason")

    def __init__(self, reason: str, error: bytes) -> None:
        self.reason = reason
        self.error = error


class Request(Due):
    """One object from its first message to its ReadyForQuery.

    `chunk`, `at`: where its text is (wire.extended.statement_text). `arrived`: monotonic seconds. `bind`: its
    last Bind, where a log line may have the values. `shape`: of a Query that is to be counted (pool.meter). `aged`:
    the text was parsed with an earlier request, a while ago. `executes`: it is more than the preparation of statements.
    """

    __slots__ = ("aged", "arrived", "at", "bind", "chunk", "executes", "refusal", "shape")
    aged: bool
    arrived: float
    at: int
    bind: bytes | None
    chunk: bytes
    executes: bool
    refusal: Refusal | None
    shape: Shape | None

    def note_text(self, chunk: bytes, at: int) -> None:
        self.chunk = chunk
        self.at = at


def find_oldest(pipeline: Pipeline) -> Request | None:
    """The oldest request that is not answered, of those that have come to their end."""
    due = (note for note in pipeline.notes[pipeline.head :] if isinstance(note, Request))
    return next(due, None)


def new_request(arrived: float) -> Request:
    """Instead of `__init__`, which compiled would have the number in an object."""
    request = Request.__new__(Request)
    request.arrived = arrived
    request.chunk = b""
    request.at = NO_TEXT
    request.aged = False
    request.executes = True
    request.bind = None
    request.refusal = None
    request.shape = None
    return request
