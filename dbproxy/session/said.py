"""What a client has said last of its statements, as far as a log line may tell of it: a text, and values bound.

The text is where the tags are that say who asks (sql.tags), so a Parse's own text is kept for the first Bind of its
name, too. Later ones are other requests: their text is that which all clients share, without tags.
"""

from dbproxy.pool.request import NO_TEXT, Request


class Said:
    """Of one client. `chunk`, `at`: where the text is (wire.extended.statement_text)."""

    def __init__(self) -> None:
        self.chunk = b""
        self.at = NO_TEXT
        self.name: bytes | None = None  # of the statement that the text has just been parsed for
        self.keeps = False  # whether the values of a Bind are kept: log.parameters
        self.bind: bytes | None = None  # the message, if they are

    def parsed(self, chunk: bytes, at: int, name: bytes) -> None:
        self.chunk = chunk
        self.at = at
        self.name = name

    def bound(self, name: bytes, body: bytes) -> None:
        """A statement whose body this is."""
        if name != self.name:
            self.chunk = body
            self.at = NO_TEXT
        self.name = None

    def tell(self, request: Request) -> None:
        """The request is whole: this is what it was about."""
        request.note_text(self.chunk, self.at)
        if self.bind is not None:
            request.bind, self.bind = self.bind, None
