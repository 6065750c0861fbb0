"""What a client has said last of its statements, as far as a log line may tell of it: a text, and values bound.

The text is where the tags are that say who asks (sql.tags), so a Parse's own text is kept for the first Bind of its
name, too. Later ones are other requests: their text is that which all clients share, without tags.
"""

from dbproxy.pool.request import NO_TEXT, Request

AGED = 1.0  # seconds after its Parse from which on a text says nothing of who executes it


class Said:
    """Of one client. `chunk`, `at`: where the text is (wire.extended.statement_text)."""

    def __init__(self) -> None:
        self.chunk = b""
        self.at = NO_TEXT
        self.name: bytes | None = None  # of the statement that the text has just been parsed for
        self.since = 0.0  # when the request came that has parsed the text; 0: it is the one at hand
        self.keeps = False  # whether the values of a Bind are kept: log.parameters
        self.bind: bytes | None = None  # the message, if they are

    def parsed(self, chunk: bytes, at: int, name: bytes) -> None:
        self.chunk = chunk
        self.at = at
        self.name = name
        self.since = 0.0

    def bound(self, name: bytes, body: bytes) -> None:
        """A statement whose body this is."""
        if name != self.name:
            self.chunk = body
            self.at = NO_TEXT
        self.name = None

    def tell(self, request: Request, executes: bool) -> None:
        """The request is whole: this is what it was about; whether it executes that."""
        request.executes = executes
        request.note_text(self.chunk, self.at)
        if self.since == 0.0:
            self.since = request.arrived
        else:
            request.aged = request.arrived - self.since > AGED
        if self.bind is not None:
            request.bind, self.bind = self.bind, None
