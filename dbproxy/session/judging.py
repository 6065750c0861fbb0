"""What a client asks for at once, seen as one: whether all of it is a read, and if not, why not."""

from dbproxy.routing.reader import Reader
from dbproxy.routing.router import AT_PRIMARY, NOT_STANDBY, OFF, READ_ONLY, READS, Router
from dbproxy.session.batch import BATCH_LIMIT
from dbproxy.session.connection import Connection
from dbproxy.session.opening import Request
from dbproxy.session.state import SessionState
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql.cache import HEAD, StatementCache
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.extended import bind_name, cut, length_at, parse_parts
from dbproxy.wire.framer import STATEMENT_NEED, Framer

NO_STATEMENT = "no statement"
NO_CALL = "nothing called"  # parsed, described, closed: what cannot write, and is the primary's
NOT_READABLE = "not readable"
PART = "part of a request"


def text_of(body: bytes) -> bytes:
    """A Parse's body without its parameter types."""
    return body[: body.find(b"\0")] if b"\0" in body else body


def is_no_request(kind: int) -> bool:
    """Whether the message only belongs to what was bound or parsed."""
    return kind == ord("E") or kind in b"DCH"


class Judge:
    """One client's. `router` is None if there is no choice: then only `classify` is called."""

    def __init__(
        self,
        client: Connection,
        reader: Reader,
        state: SessionState,
        prepared: Vocabulary,
        router: Router | None,
    ) -> None:
        self.client = client
        self.reader = reader
        self.state = state
        self.prepared = prepared
        self.router = router
        self.classifier: StatementCache = state.pool.tenant.classifier
        self.judged: tuple[Shape, ...] = ()  # the first of each request that `judge` has looked at last
        # Of the chunk that is looked at: what it has parsed, by name, and without one.
        self.named: dict[bytes, Shape] | None = None
        self.unnamed: Shape | None = None
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
        router, reader = self.router, self.reader
        if router.is_off():  # type: ignore[union-attr]  # there is a router
            return OFF
        mark = framer.mark_at(index)
        if framer.left or framer.end - (mark >> 8) > BATCH_LIMIT:
            return PART
        router.attend(reader, self.client.settings)  # type: ignore[union-attr]  # there is a router
        reader.wanted_host = ""
        if mark & 255 == ord("Q") and index + 1 == framer.count:
            shape = self.classify_query(framer.chunk, mark >> 8)
            self.judged = reader.asked = (shape,)
            return router.judge(shape, reader)  # type: ignore[union-attr]  # there is a router
        return self.judge_messages(framer, index)

    def classify_query(self, chunk: bytes, at: int) -> Shape:
        """As `classify`, which will be asked about it again."""
        self.known = self.classify(chunk, at)
        self.known_in, self.known_at = chunk, at
        return self.known

    def judge_messages(self, framer: Framer, index: int) -> str:
        router, chunk = self.router, framer.chunk
        judged: list[Shape] = []
        others: list[Shape] = []
        self.judged = ()
        self.named = None
        self.unnamed = self.prepared.unnamed.shape if self.prepared.unnamed.body is not None else None
        verdict = READS
        begun = False  # a transaction that only reads
        asked = within = False  # a statement is called: at all, in the request at hand
        last = 0
        while index < framer.count:
            mark = framer.mark_at(index)
            index += 1
            last = mark & 255
            if last == ord("P"):
                objection = self.note_parse(chunk, mark >> 8)
                if objection:
                    return objection
                continue
            if last == ord("S"):
                if not within:
                    judged.append(NO_SHAPE)
                within = False
                continue
            if last != ord("Q") and last != ord("B"):
                if is_no_request(last):
                    continue
                return NO_STATEMENT
            shape = self.shape_at(chunk, last, mark >> 8, framer.end)
            if begun:
                if shape is None or shape.effects.needs_primary:
                    return NOT_STANDBY
                begun = not shape.effects.ends
            else:
                found = router.judge(shape, self.reader)  # type: ignore[union-attr]  # there is a router
                if found is not READS:
                    begun = found is READ_ONLY
                    if not begun and found not in AT_PRIMARY:
                        return found
                    verdict = found if verdict not in AT_PRIMARY else verdict
            asked = True
            (others if within else judged).append(shape)  # type: ignore[arg-type]  # None would be no read
            within = last == ord("B")
        if last != ord("Q") and last != ord("S"):
            return PART
        self.judged = tuple(judged)
        self.reader.asked = self.judged + tuple(others)
        return verdict if asked else NO_CALL

    def note_parse(self, chunk: bytes, at: int) -> str:
        """A Parse: what its statement is, for those that call it in the same chunk; or why it is for the primary."""
        known = self.prepared.unnamed
        parts = parse_parts(chunk, at, at + length_at(chunk, at), known.body)
        if parts is None:
            return NOT_READABLE
        name, body = parts
        if not name:
            self.unnamed = known.shape if body is known.body else self.state.find_shape(body)
            return ""
        if self.prepared.knows(name):
            return "a name that is in use"  # to be sent again it would have to be given up
        self.named = self.named or {}
        self.named[name] = self.state.find_shape(body)
        return ""

    def shape_at(self, chunk: bytes, kind: int, at: int, end: int) -> Shape | None:
        """Of a Query, or of what a Bind calls."""
        if kind == ord("Q"):
            return self.classify_query(chunk, at)
        where = bind_name(chunk, at, min(at + length_at(chunk, at), end))
        if where is None:
            return None
        start, stop = where
        if start == stop:
            return self.unnamed
        known = self.prepared.find_called(chunk, start, stop)
        if self.named and self.prepared.called in self.named:
            return self.named[self.prepared.called]
        return known.shape if known is not None else None

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
            return self.prepared.unnamed.shape, text_of(self.prepared.unnamed.body or b"")
        known = self.prepared.statements.get(name)
        return (known.shape, text_of(known.body)) if known is not None else (None, b"")
