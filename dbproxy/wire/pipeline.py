"""Which replies a server owes, and what becomes of each.

Every message that the server answers leaves an entry here, in the order sent. Most answers are forwarded. Those to
messages of our own (a statement prepared on demand, a setting replayed) are skipped; those to messages that we did
not pass on (a Parse of a statement that the server has already) are faked when their turn comes.

After an error in an extended query PostgreSQL discards messages until Sync ("Extended Query"): their entries are
dropped with it, and ReadyForQuery is the one place where both sides agree again. While a server reads COPY data it
ignores Sync and Flush ("COPY Operations"): a Sync sent before CopyDone owes no reply.

      entry      ended by                     entry      ended by
      PARSE      ParseComplete                EXECUTE    CommandComplete, PortalSuspended, EmptyQueryResponse
      BIND       BindComplete                 SYNC       ReadyForQuery
      CLOSE      CloseComplete                QUERY      ReadyForQuery
      DESCRIBE   RowDescription, NoData       FUNCTION   ReadyForQuery
      COPY_END   nothing: it stands where CopyDone or CopyFail was sent
"""

from dbproxy.errors import ProtocolViolation

PARSE, BIND, CLOSE, DESCRIBE, EXECUTE, SYNC, QUERY, FUNCTION, COPY_END = range(9)
KIND = 15  # entry & KIND: one of the above
SKIP = 16  # the reply is to a message of ours: the client never sees it
FAKE = 32  # the server never sees the message: the reply is ours

_RESYNC = 1 << SYNC | 1 << QUERY | 1 << FUNCTION
_ENDS = {
    "1": 1 << PARSE,
    "2": 1 << BIND,
    "3": 1 << CLOSE,
    "T": 1 << DESCRIBE,
    "n": 1 << DESCRIBE,
    "C": 1 << EXECUTE,
    "s": 1 << EXECUTE,
    "I": 1 << EXECUTE,
    "Z": _RESYNC,
}
ENDS = [0] * 256
for _kind, _entries in _ENDS.items():
    ENDS[ord(_kind)] = _entries
# Replies that nothing but their own entry may produce: anywhere else the conversation has come apart.
STRICT = frozenset(map(ord, "123Z"))
PARSE_COMPLETE = b"1\x00\x00\x00\x04"
CLOSE_COMPLETE = b"3\x00\x00\x00\x04"


class Pipeline:
    """Replies due, oldest first: `due[head:]` entries, `notes[head:]` what their sender wants back with each."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.notes: list[object] = []
        self.head = 0
        self.fakes = 0
        self.ended: object = None  # what came with the entry that was over last
        self.ignoring = False  # the server discards messages until Sync
        self.copying = False  # the server reads COPY data of an extended query

    def __len__(self) -> int:
        return len(self.due) - self.head

    def empty(self) -> bool:
        return self.head == len(self.due)

    def expect(self, entry: int, note: object = None) -> None:
        """A message was sent (or, `FAKE`, was not)."""
        if self.ignoring:
            if entry & KIND != SYNC:
                return
            self.ignoring = False
        elif self.copying:
            if entry & KIND == SYNC:
                return
            if entry & KIND == COPY_END:
                self.copying = False
                return
        elif entry & KIND == COPY_END and self.head == len(self.due):
            return
        self.due.append(entry)
        self.notes.append(note)
        if entry & FAKE:
            self.fakes += 1

    def fake(self) -> bytes:
        """The faked replies whose turn has come."""
        replies = b""
        while self.head < len(self.due) and self.due[self.head] & FAKE:
            replies += PARSE_COMPLETE if self.due[self.head] & KIND == PARSE else CLOSE_COMPLETE
            self.fakes -= 1
            self.advance()
        return replies

    def peek(self) -> int:
        """The oldest entry, or -1."""
        return self.due[self.head] if self.head < len(self.due) else -1

    def skip_oldest(self) -> None:
        """The client is not to see the oldest reply after all."""
        self.due[self.head] |= SKIP

    def receive(self, kind: int) -> int:
        """The entry that a reply of this kind belongs to (-1: to none), which is over if the reply ends it."""
        if self.head == len(self.due):
            if kind in STRICT:
                raise ProtocolViolation(f"the server sent {chr(kind)!r} and owed no reply")
            return -1
        entry = self.due[self.head]
        if ENDS[kind] >> (entry & KIND) & 1:
            self.ended = self.notes[self.head]
            self.advance()
        elif kind in STRICT:
            raise ProtocolViolation(f"the server sent {chr(kind)!r} out of turn")
        return entry

    def copy_in(self) -> None:
        """CopyInResponse (or CopyBothResponse) has come: Syncs that stand before the end of the data owe nothing."""
        if self.peek() & KIND != EXECUTE:
            return
        behind = self.head + 1
        while behind < len(self.due) and self.due[behind] & KIND == SYNC:
            del self.due[behind], self.notes[behind]
        self.copying = behind == len(self.due)

    def fail(self) -> list[tuple[int, object]]:
        """ErrorResponse has come: the entries that it drops, with their notes, the one that failed first."""
        self.copying = False
        if self.head == len(self.due) or 1 << (self.due[self.head] & KIND) & _RESYNC:
            return []
        dropped: list[tuple[int, object]] = []
        while self.head < len(self.due) and self.due[self.head] & KIND != SYNC:
            dropped.append((self.due[self.head], self.notes[self.head]))
            if self.due[self.head] & FAKE:
                self.fakes -= 1
            self.advance()
        self.ignoring = self.head == len(self.due)
        return dropped

    def advance(self) -> None:
        self.head += 1
        while self.head < len(self.due) and self.due[self.head] & KIND == COPY_END:
            self.head += 1
        if self.head == len(self.due):
            self.due.clear()
            self.notes.clear()
            self.head = 0
        elif self.head >= 256:
            del self.due[: self.head], self.notes[: self.head]
            self.head = 0
