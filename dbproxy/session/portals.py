# cython: boundscheck=False, wraparound=False
"""What each portal of a client runs: only where statements are counted (pool.meter).

PostgreSQL: "Extended Query". A portal lasts until it is bound anew, closed, or its transaction ends.
"""

import re
from collections.abc import Callable

from dbproxy.pool.dues import Bind
from dbproxy.pool.execution import Execution, new_execution
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.extended import bind_name, cut, find_zero, length_at, parse_parts
from dbproxy.wire.pipeline import Pipeline

MOST = 1000  # names that are remembered; what has others is counted as not known
_TYPES = rb"\((?:[^()]|\([^()]*\))*\)"
_PREPARE = re.compile(rb'\s*PREPARE\s+("(?:[^"]|"")+"|[^\s("]+)\s*(?:%b\s*)?AS\b' % _TYPES, re.IGNORECASE)


class Portals:
    """Of one client. Without `shares` nobody reads its Parses, so what they name is kept here (`shapes`)."""

    def __init__(self, prepared: Vocabulary, find_shape: Callable[[bytes], Shape], *, shares: bool) -> None:
        self.prepared = prepared
        self.find_shape = find_shape
        self.shares = shares
        self.unnamed: Execution | None = None
        self.named: dict[bytes, Execution] = {}
        self.shapes: dict[bytes, Shape] = {}

    def note(self, kind: int, pipeline: Pipeline, chunk: bytes, at: int, stop: int) -> None:
        """A Parse, Bind, Describe or Close is sent, and its reply due."""
        if kind == ord("B"):
            self.bind(pipeline, chunk, at, stop)
        elif kind == ord("P") and not self.shares:
            parts = parse_parts(chunk, at, stop)
            if parts is not None and (len(self.shapes) < MOST or parts[0] in self.shapes):
                self.shapes[parts[0]] = self.find_shape(parts[1])

    def bind(self, pipeline: Pipeline, chunk: bytes, at: int, stop: int) -> None:
        if self.shares and stop > at + 6 and chunk[at + 5] == 0:
            if chunk[at + 6] == 0:
                self.unnamed = new_execution(self.prepared.unnamed.shape, self.prepared.unnamed.body)
                return
            due = pipeline.last_note()
            bound = due if isinstance(due, Bind) else None
            if bound is not None and bound.statement is not None:
                self.unnamed = new_execution(bound.statement.shape, None)
                return
        self.bind_by_name(chunk, at, stop)

    def bind_by_name(self, chunk: bytes, at: int, stop: int) -> None:
        """What is rare: a portal with a name, a statement that is not the servers' own, session mode."""
        where = bind_name(chunk, at, stop)
        if where is None:
            return
        start, end = where
        text: bytes | None = None
        if start == end and self.shares:
            shape = self.prepared.unnamed.shape
            text = self.prepared.unnamed.body
        else:
            shape = self.shape_of(cut(chunk, start, end))
        execution = new_execution(shape, text)
        if start == at + 6:
            self.unnamed = execution
        else:
            if len(self.named) >= MOST:
                self.named.clear()
            self.named[cut(chunk, at + 5, start - 1)] = execution

    def shape_of(self, name: bytes) -> Shape:
        """Of the client's statement."""
        if not self.shares:
            return self.shapes.get(name, NO_SHAPE)
        statement = self.prepared.statements.get(name)
        return statement.shape if statement is not None else NO_SHAPE

    def find_executed(self, shape: Shape) -> Shape:
        """What a Query of this shape is counted as: EXECUTE as the statement that was prepared, if that is known."""
        if shape.text[:7].upper() != "EXECUTE" or not shape.effects.single:
            return shape
        name = shape.effects.executes[0].encode()
        statement = self.prepared.statements.get(name)
        if statement is not None:
            return statement.shape
        text = self.prepared.by_sql.get(name, b"")
        prepare = _PREPARE.match(text)
        return shape if prepare is None else self.find_shape(text[prepare.end() :])

    def execute(self, chunk: bytes, at: int, arrived: float) -> Execution | None:
        """What the Execute runs; None if it is not known."""
        if at + 10 > len(chunk):  # too short for one, and PostgreSQL's to judge
            return None
        buffer = chunk
        if buffer[at + 5]:
            end = find_zero(chunk, at + 5, at + length_at(chunk, at))
            portal = self.named.get(cut(chunk, at + 5, end)) if end > 0 else None
        else:
            end = at + 5
            portal = self.unnamed
        if portal is None or end < 0 or end + 5 > len(chunk):
            return None
        limit = buffer[end + 1] << 24 | buffer[end + 2] << 16 | buffer[end + 3] << 8 | buffer[end + 4]
        execution = portal
        if portal.arrived:
            execution = new_execution(NO_SHAPE, None, portal)
        execution.send(arrived, limit)
        return execution
