"""What an Execute runs: noted with its reply due where statements are counted (pool.meter)."""

from dbproxy.sql.identity import Shape
from dbproxy.wire.due import Due


class Execution(Due):
    """A portal's, from its Bind on. `shape` is None once it has been counted; `text`: of an unnamed statement.

    `first`: the portal's, if an earlier Execute is not answered yet; that keeps what all had, times in microseconds.
    `arrived`: monotonic seconds, 0 while no Execute is to be answered; `limit`: of its rows, 0 for none.
    """

    __slots__ = ("arrived", "bytes_sent", "first", "limit", "rows", "shape", "stall", "text", "total", "wait")
    shape: Shape | None
    first: "Execution | None"
    text: bytes | None
    arrived: float
    limit: int
    rows: int
    bytes_sent: int
    total: int
    wait: int
    stall: int

    def send(self, arrived: float, limit: int) -> None:
        """Its Execute is sent."""
        self.arrived = arrived
        self.limit = limit


def new_execution(shape: Shape, text: bytes | None, first: Execution | None = None) -> Execution:
    """Instead of `__init__`, which compiled would take a tuple."""
    execution = Execution.__new__(Execution)
    execution.shape = shape
    execution.text = text
    execution.first = first
    execution.arrived = 0.0
    execution.limit = execution.rows = execution.bytes_sent = 0
    execution.total = execution.wait = execution.stall = 0
    return execution
