"""What a client's messages ask for, as gates and listeners are told of it (pool.query). Compiled, as gateway is."""

from dbproxy.pool.query import Query
from dbproxy.pool.request import NO_TEXT
from dbproxy.session.connection import Connection
from dbproxy.session.judging import Judge
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql.identity import Shape
from dbproxy.wire.extended import bind_name, cut, length_at, parse_parts, target_name
from dbproxy.wire.framer import Framer

Found = tuple[Shape | None, bytes, int]  # a statement's shape, and where its text is (pool.query)


class Queries:
    """Of one client."""

    def __init__(self, client: Connection, prepared: Vocabulary, judge: Judge) -> None:
        self.client = client
        self.prepared = prepared
        self.judge = judge

    def read(self, framer: Framer, index: int, arrived: float, found: Found | None = None) -> Query:
        """All that there is of what begins at mark `index`, up to its Query or Sync; `found`: what it asks for."""
        chunk, first = framer.chunk, framer.mark_at(index) >> 8
        kinds, kind = b"", 0
        able = True
        for number in range(index, framer.count):
            mark = framer.mark_at(number)
            kind = mark & 255
            kinds += cut(chunk, mark >> 8, (mark >> 8) + 1)
            able = able and self.is_answerable(chunk, mark, kinds)
            if kind in b"QSF":
                break
        behind = index + len(kinds)
        stop = framer.mark_at(behind) >> 8 if behind < framer.count else framer.end
        shape, text, at = found or self.find_statement(framer, index, behind)
        query = Query(self.client, shape, text, at, arrived)
        query.kinds = kinds
        query.messages = cut(chunk, first, stop)
        ends = kind in b"QS"
        query.whole = able and ends and not (framer.left and behind == framer.count)
        return query

    def is_answerable(self, chunk: bytes, mark: int, kinds: bytes) -> bool:
        """Whether a message can be answered without a server, as far as this client's statements go.

        `kinds`: of the messages up to it.
        """
        kind, at = mark & 255, mark >> 8
        stop = at + length_at(chunk, at)
        if kind == ord("P"):
            parts = parse_parts(chunk, at, stop)
            return parts is not None and (not parts[0] or self.can_define(parts[0]))
        if kind == ord("B"):
            return kinds.find(b"P") >= 0 or self.is_read_as_now(chunk, at, stop)
        if kind == ord("C"):
            name = target_name(chunk, at, stop)
            return not name or (bool(self.prepared.shares) and name not in self.prepared.by_sql)
        return kind in b"QDEHS"

    def is_read_as_now(self, chunk: bytes, at: int, stop: int) -> bool:
        """Whether what is bound means to the session what it did at its Parse, as far as settings decide that."""
        where = bind_name(chunk, at, min(stop, len(chunk)))
        return where is not None and self.prepared.reads_as_now(cut(chunk, where[0], where[1]))

    def can_define(self, name: bytes) -> bool:
        return bool(self.prepared.shares) and not self.prepared.knows(name)

    def find_first(self, framer: Framer, index: int) -> Found | None:
        """What the message at mark `index` asks for, if that is a Query or Bind."""
        kind = framer.mark_at(index) & 255
        return self.find_statement(framer, index, index + 1) if kind == ord("Q") or kind == ord("B") else None

    def find_statement(self, framer: Framer, index: int, behind: int) -> Found:
        """The first statement that these messages execute, or else parse: its shape, and where its text is."""
        chunk = framer.chunk
        parsed: dict[bytes, int] = {}
        for number in range(index, behind):
            mark = framer.mark_at(number)
            kind, at = mark & 255, mark >> 8
            if kind == ord("Q"):
                return self.shape_at(chunk, at), chunk, at
            if kind == ord("P"):
                parts = parse_parts(chunk, at, at + length_at(chunk, at))
                parsed[parts[0] if parts is not None else b""] = at
            elif kind == ord("B"):
                where = bind_name(chunk, at, min(at + length_at(chunk, at), framer.end))
                name = cut(chunk, where[0], where[1]) if where is not None else b""
                if name in parsed:
                    return self.shape_at(chunk, parsed[name]), chunk, parsed[name]
                body = self.prepared.body_of(name)
                shape = self.prepared.shape_of(name) if name and body else self.shape_at(body, NO_TEXT)
                return shape, body, NO_TEXT
        for at in parsed.values():
            return self.shape_at(chunk, at), chunk, at
        return None, b"", NO_TEXT

    def shape_at(self, chunk: bytes, at: int) -> Shape | None:
        body = chunk
        if at >= 0:
            length = length_at(chunk, at)
            if chunk[at] == ord("Q"):
                return self.judge.classify_query(chunk, at)
            body = (parse_parts(chunk, at, at + length) or (b"", b""))[1]
        shape: Shape | None = self.judge.state.find_shape(body) if body else None
        return shape
