"""What a client asks for at once, seen as one: whether all of it is a read, and if not, why not."""

from dbproxy.routing.router import AT_PRIMARY, NOT_STANDBY, OFF, READ_ONLY, READS, Router
from dbproxy.session.batch import BATCH_LIMIT
from dbproxy.session.opening import Request
from dbproxy.session.reader import Reader
from dbproxy.session.state import SessionState
from dbproxy.session.statements import ClientStatements
from dbproxy.sql.cache import HEAD, StatementCache
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.extended import bind_name, cut, length_at, parse_parts
from dbproxy.wire.framer import STATEMENT_NEED, Framer

NO_STATEMENT = "no statement"
NOT_READABLE = "not readable"
PART = "part of a request"


def text_of(body: bytes) -> bytes:
    """A Parse's body without its parameter types."""
    return body[: body.find(b"\0")] if b"\0" in body else body


class Judge:
    """One client's. `router` is None if there is no choice: then only `classify` is called."""

    def __init__(
        self, reader: Reader, state: SessionState, prepared: ClientStatements, router: Router | None
    ) -> None:
        self.reader = reader
        self.state = state
        self.prepared = prepared
        self.router = router
        self.classifier: StatementCache = state.pool.tenant.classifier
        self.judged: list[Shape] = []  # the statements that `judge` has looked at last
        # The chunk in which a Query was looked at last, where, and what it is.
        self.known_in: bytes | None = None
        self.known_at = 0
        self.known = NO_SHAPE

    def forget(self) -> None:
        """Another chunk has come, which may be the same object."""
        self.known_in = None

    def classify(self, chunk: bytes, at: int) -> Shape:
        """The shape of the Query at `at`."""
        if chunk is self.known_in and at == self.known_at:
            return self.known
        length = length_at(chunk, at)
        start, stop = at + 5, at + length - 1
        if length > STATEMENT_NEED:
            return self.classifier.find_long(cut(chunk, start, start + HEAD), b"", length)
        found = self.classifier.alike.find(chunk, start, stop)
        if found is None:
            found = self.classifier.find(cut(chunk, start, stop), self.state.backslashes)
        return found

    def judge(self, framer: Framer, index: int) -> str:
        """READS, READ_ONLY (a transaction that is), or why it is for the primary; `judged` are the statements."""
        if self.router.is_off():  # type: ignore[union-attr]  # there is a router
            return OFF
        if framer.left or framer.end - (framer.mark_at(index) >> 8) > BATCH_LIMIT:
            return PART
        return self.judge_messages(framer, index)

    def judge_messages(self, framer: Framer, index: int) -> str:
        chunk, end = framer.chunk, framer.end
        judged = self.judged = []
        self.reader.wanted_host = ""
        named: dict[bytes, Shape] | None = None
        unnamed = self.prepared.unnamed_shape if self.prepared.unnamed is not None else None
        verdict = READS
        begun = False  # a transaction that only reads
        shape: Shape | None
        last = 0
        while index < framer.count:
            mark = framer.mark_at(index)
            index += 1
            last = mark & 255
            at = mark >> 8
            if last == ord("Q"):
                shape = self.known = self.classify(chunk, at)
                self.known_in, self.known_at = chunk, at
            elif last == ord("B"):
                where = bind_name(chunk, at, min(at + length_at(chunk, at), end))
                if where is None:
                    return NOT_READABLE
                name = cut(chunk, where[0], where[1])
                shape = self.shape_of(name, named) if name else unnamed
            elif last == ord("P"):
                parts = parse_parts(chunk, at, at + length_at(chunk, at))
                if parts is None:
                    return NOT_READABLE
                if self.prepared.knows(parts[0]):
                    return "a name that is in use"  # to be sent again it would have to be given up
                shape = self.state.find_shape(parts[1])
                if parts[0]:
                    named = named or {}
                    named[parts[0]] = shape
                else:
                    unnamed = shape
                continue
            elif last in b"DECSH":
                continue
            else:
                return NO_STATEMENT
            if begun:
                if shape is None or shape.effects.needs_primary:
                    return NOT_STANDBY
                begun = not shape.effects.ends
            else:
                found = self.router.judge(shape, self.reader)  # type: ignore[union-attr]  # there is a router
                if found is not READS:
                    begun = found is READ_ONLY
                    if not begun and found not in AT_PRIMARY:
                        return found
                    verdict = found if verdict not in AT_PRIMARY else verdict
            judged.append(shape)  # type: ignore[arg-type]  # None would be no read
        if last != ord("Q") and last != ord("S"):
            return PART
        return verdict if judged else NO_STATEMENT

    def list_requests(self, framer: Framer, index: int) -> list[Request]:
        """What a client asks for from mark `index` on, while it has a transaction on a replica."""
        chunk = framer.chunk
        found: list[Request] = []
        named: dict[bytes, tuple[Shape, bytes]] = {}
        request: Request | None = None
        for number in range(index, framer.count):
            mark = framer.mark_at(number)
            kind, at = mark & 255, mark >> 8
            if request is None:
                request = Request(at)
                found.append(request)
            if kind == ord("Q"):
                stop = min(at + length_at(chunk, at), framer.end)
                request.statements.append((self.classify(chunk, at), cut(chunk, at + 5, stop - 1)))
            elif (
                kind == ord("P") and (parts := parse_parts(chunk, at, at + length_at(chunk, at))) is not None
            ):
                named[parts[0]] = self.state.find_shape(parts[1]), text_of(parts[1])
            elif kind == ord("B"):
                request.statements.append(self.find_bound(chunk, at, framer.end, named))
            elif kind == ord("F"):
                request.statements.append((None, b""))
            request.whole = kind in b"QSF"
            if request.whole or (kind == ord("E") and request.ends()):
                request = None
        return found

    def find_bound(
        self, chunk: bytes, at: int, end: int, named: dict[bytes, tuple[Shape, bytes]]
    ) -> tuple[Shape | None, bytes]:
        """The statement of a Bind, and its text."""
        where = bind_name(chunk, at, min(at + length_at(chunk, at), end))
        if where is None:
            return None, b""
        name = cut(chunk, where[0], where[1])
        if name in named:
            return named[name]
        if not name:
            return self.prepared.unnamed_shape, text_of(self.prepared.unnamed or b"")
        known = self.prepared.statements.get(name)
        return (known.shape, text_of(known.body)) if known is not None else (None, b"")

    def shape_of(self, name: bytes, named: dict[bytes, Shape] | None) -> Shape | None:
        """`named`: those that are parsed in the same chunk, ahead of it."""
        if named and name in named:
            return named[name]
        known = self.prepared.statements.get(name)
        return known.shape if known is not None else None
