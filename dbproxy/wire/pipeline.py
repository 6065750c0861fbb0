# cython: boundscheck=False, wraparound=False
"""Which replies a server owes, and what becomes of each.

Every message that the server answers leaves an entry here, in the order sent: the message's own kind byte. Most
answers are forwarded. Those to messages of our own (a statement prepared on demand, a setting replayed) are skipped;
those to messages that we did not pass on (a Parse of a statement that the server has already) are faked when their
turn comes.

After an error in an extended query PostgreSQL discards messages until Sync ("Extended Query"): their entries are
dropped with it, and ReadyForQuery is the one place where both sides agree again. While a server reads COPY data it
ignores Sync and Flush ("COPY Operations"): a Sync sent before CopyDone owes no reply.

      entry          ended by                     entry            ended by
      P  Parse       ParseComplete                E  Execute       CommandComplete, PortalSuspended, EmptyQueryResponse
      B  Bind        BindComplete                 S  Sync          ReadyForQuery
      C  Close       CloseComplete                Q  Query         ReadyForQuery
      D  Describe    RowDescription, NoData       F  FunctionCall  ReadyForQuery
      c  CopyDone or CopyFail: nothing; it stands where the data ended
"""

from dbproxy.errors import ProtocolViolation
from dbproxy.wire.due import Due

KIND = 255  # entry & KIND: the message's kind byte
SKIP = 256  # the message is ours: the client never sees the reply
FAKE = 512  # the server never sees the message: the reply is ours
UNSURE = 1024  # a COPY with a Sync in its data: if it fails, the server may yet see that Sync

HALF = 2048  # the first of two Queries that are one to the client: it does not see the ReadyForQuery between them
TAIL = 4096  # the second, which is ours: of its reply the client sees ReadyForQuery, and settings that have changed
KEPT = 256  # entries that are over before their places are given up: an empty list would give up its memory each time

_HALF, _HALVES = HALF, HALF | TAIL  # compiled, C numbers

PARSE_COMPLETE = b"1\x00\x00\x00\x04"
CLOSE_COMPLETE = b"3\x00\x00\x00\x04"


def ends(reply: int, entry: int) -> bool:
    """Whether this reply is the last to that message."""
    if reply == ord("Z"):
        return entry == ord("Q") or entry == ord("S") or entry == ord("F")
    if reply == ord("C") or reply == ord("s") or reply == ord("I"):
        return entry == ord("E")
    if reply == ord("2"):
        return entry == ord("B")
    if reply == ord("T") or reply == ord("n"):
        return entry == ord("D")
    if reply == ord("1"):
        return entry == ord("P")
    return reply == ord("3") and entry == ord("C")


def faked_reply(kind: int) -> bytes:
    """The answer to a Parse or Close that went well."""
    return PARSE_COMPLETE if kind == ord("P") else CLOSE_COMPLETE


def is_strict(reply: int) -> bool:
    """Whether only its own entry may lead to this reply: anywhere else the conversation has come apart."""
    return reply == ord("Z") or reply == ord("1") or reply == ord("2") or reply == ord("3")


class Pipeline:
    """Replies due, oldest first: `due[head:]` entries, `notes[head:]` what their sender wants back with each."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.notes: list[Due | None] = []
        self.head = 0
        self.fakes = 0
        self.ended: Due | None = None  # the note of the entry that was over last
        self.ignoring = False  # the server discards messages until Sync
        self.copying = False  # the server reads COPY data, and has not been sent their end
        self.halves = 0  # entries with HALF or TAIL
        self.unsure = False  # more may be owed than is due: a COPY with a Sync in its data has failed

    def __len__(self) -> int:
        return len(self.due) - self.head

    def empty(self) -> bool:
        return self.head == len(self.due)

    # --- sending ---

    def expect(self, kind: int, note: Due | None = None) -> None:
        """A client's message was sent."""
        if (self.ignoring or self.copying or kind == ord("c")) and not self.owes(kind):
            return
        self.due.append(kind)
        self.notes.append(note)

    def skip(self, kind: int, note: Due | None = None) -> None:
        """A message of our own was sent."""
        if not self.ignoring or kind == ord("S"):
            self.ignoring = False
            self.due.append(kind | SKIP)
            self.notes.append(note)

    def expect_halves(self, kind: int, note: Due | None) -> None:
        """A client's Query or Sync was sent, and a Query of ours behind it that is part of it."""
        before = len(self.due)
        self.expect(kind, note)
        if len(self.due) == before:  # not to be answered, as the data of a COPY are read
            self.skip(ord("Q"))
            return
        self.due[before] |= HALF
        self.due.append(ord("Q") | SKIP | TAIL)
        self.notes.append(note)
        self.halves += 2

    def fake(self, kind: int, note: Due | None = None) -> None:
        """A client's message was not sent: the reply is ours."""
        if not self.ignoring:
            self.due.append(kind | FAKE)
            self.notes.append(note)
            self.fakes += 1

    def owes(self, kind: int) -> bool:
        """Whether a message sent in an unusual state will be answered, or marks a place."""
        if self.ignoring:
            self.ignoring = kind != ord("S")
            return kind == ord("S")
        if self.copying:
            self.copying = kind != ord("c")
            if kind == ord("S") and self.head < len(self.due):  # else the server has broken off by itself
                self.due[self.head] |= UNSURE
            return kind != ord("c") and kind != ord("S")
        return self.head < len(self.due)

    # --- receiving ---

    def receive(self, reply: int) -> bool:
        """A reply has come: is it to be skipped? The oldest entry is over if this ends it."""
        if self.head == len(self.due):
            if is_strict(reply):
                raise ProtocolViolation(f"the server sent {chr(reply)!r} and owed no reply")
            return False
        entry = self.due[self.head]
        if ends(reply, entry & 255):
            self.ended = self.notes[self.head]
            if entry & _HALVES:
                self.halves -= 1
                self.advance()
                return entry & _HALF != 0
            self.advance()
        elif is_strict(reply):
            raise ProtocolViolation(f"the server sent {chr(reply)!r} out of turn")
        return entry & 256 != 0

    def take_fakes(self) -> bytes:
        """The faked replies whose turn has come."""
        replies = b""
        while self.head < len(self.due) and self.due[self.head] & FAKE:
            replies += faked_reply(self.due[self.head] & KIND)
            self.fakes -= 1
            self.advance()
        return replies

    def peek(self) -> int:
        """The oldest entry, or -1."""
        return self.due[self.head] if self.head < len(self.due) else -1

    def is_ours(self) -> bool:
        """Whether the oldest reply due is to a message of our own."""
        return self.head < len(self.due) and self.due[self.head] & SKIP != 0

    def is_half(self) -> bool:
        """Whether the oldest reply due is to one of two Queries that are one to the client."""
        return self.head < len(self.due) and self.due[self.head] & _HALVES != 0

    def oldest_note(self) -> Due | None:
        """The note of the oldest entry, None if nothing is due."""
        return self.notes[self.head] if self.head < len(self.due) else None

    def last_note(self) -> Due | None:
        """The note of the newest entry, None if nothing is due."""
        return self.notes[len(self.notes) - 1] if self.head < len(self.due) else None

    def next_sync_is_ours(self) -> bool:
        """Whether PostgreSQL discards, after an error, only up to a Sync that we have sent."""
        return next((entry & SKIP != 0 for entry in self.due[self.head :] if entry & KIND == ord("S")), False)

    def only_ours(self) -> bool:
        """Whether what is due are answers to whole Queries of our own."""
        return all(entry == ord("Q") | SKIP for entry in self.due[self.head :])

    def owes_ready(self) -> bool:
        """Whether a ReadyForQuery is due to the client."""
        due = self.due[self.head :]
        return any(entry & KIND in b"QSF" and (not entry & SKIP or entry & TAIL) for entry in due)

    def is_last_request(self) -> bool:
        """Whether no more than one ReadyForQuery is due."""
        return sum(entry & KIND in b"QSF" for entry in self.due[self.head :]) == 1

    def amend_unnamed(self, previous: object) -> bool:
        """Tell the client's next message that ends the unnamed statement what that was; False if there is none."""
        for place in range(self.head, len(self.due)):
            kind, note = self.due[place] & KIND, self.notes[place]
            if self.due[place] & SKIP:
                continue
            if kind == ord("Q"):
                return True
            if note is not None and note.amend_unnamed(previous):
                return True
        return False

    def failing_note(self) -> Due | None:
        """The note of the message that an ErrorResponse is about: the oldest one that the server has seen."""
        for place in range(self.head, len(self.due)):
            if not self.due[place] & FAKE:
                return None if self.due[place] & KIND in b"QSF" else self.notes[place]
        return None

    def notes_of(self, kind: int) -> list[Due]:
        """The notes of messages of this kind that are due."""
        due = zip(self.due[self.head :], self.notes[self.head :], strict=True)
        return [note for entry, note in due if entry & KIND == kind and note is not None]

    def skip_oldest(self) -> None:
        """The client is not to see the oldest reply after all."""
        self.due[self.head] |= SKIP

    def copy_in(self) -> None:
        """CopyInResponse has come: Syncs that stand before the end of the data owe nothing."""
        if self.head == len(self.due):
            return
        behind = self.head + 1
        while behind < len(self.due) and self.due[behind] & KIND == ord("S"):
            self.due[self.head] |= UNSURE
            del self.due[behind], self.notes[behind]
        self.copying = behind == len(self.due) or self.due[behind] != ord("c")
        if not self.copying:
            del self.due[behind], self.notes[behind]

    def will_end(self) -> bool:
        """Whether all that is due comes even if the client sends nothing more."""
        last = len(self.due) - 1
        while last >= self.head and self.due[last] == ord("c"):
            last -= 1
        return not self.copying and last >= self.head and self.due[last] & KIND in b"QSF"

    def waits(self, half: int) -> bool:
        """Whether no request that is whole is due to the client; `half`: 1 if part of its last message is missing."""
        whole = self.due[self.head : len(self.due) - half]
        return self.copying or not any(entry & KIND in b"QSF" and entry != ord("Q") | SKIP for entry in whole)

    def fail(self) -> list[tuple[int, Due | None]]:
        """ErrorResponse has come: the entries that it drops, with their notes, the one that failed first."""
        self.copying = False
        if self.head == len(self.due):
            return []
        if self.due[self.head] & UNSURE:
            self.unsure = True
        if self.due[self.head] & KIND in b"QSF":
            return []
        dropped: list[tuple[int, Due | None]] = []
        while self.head < len(self.due) and self.due[self.head] & KIND != ord("S"):
            dropped.append((self.due[self.head], self.notes[self.head]))
            if self.due[self.head] & FAKE:
                self.fakes -= 1
            self.advance()
        self.ignoring = self.head == len(self.due)
        return dropped

    def advance(self) -> None:
        """The oldest entry is over, and so is an end of COPY data behind it."""
        self.notes[self.head] = None
        self.head += 1
        if self.head >= KEPT:
            del self.due[: self.head], self.notes[: self.head]
            self.head = 0
        if self.head < len(self.due) and self.due[self.head] == ord("c"):
            self.advance()
