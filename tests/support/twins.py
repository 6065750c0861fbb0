"""One client in two worlds: what it asks goes to a direct connection and to another one, and is answered alike.

Alike is byte for byte, but for what PostgreSQL itself numbers as it likes: backends' process ids (told apart are a
client's own and another's), temporary schemas (`pg_temp_3`), oids of what users made, and the line of PostgreSQL's
source that refuses a message in a failed transaction. Notifications come when they come: they are compared in their
order, apart from answers.
"""

import re
import select
import struct
import time
from itertools import groupby

from tests.support.blocking_client import BlockingClient, Message
from tests.support.speech import SYNC, query, split
from tests.support.witness import tell_apart

PATIENCE = 5.0  # seconds until an answer that does not come is a difference
FIRST_USER_OID = 16384  # PostgreSQL: access/transam.h, FirstNormalObjectId
TEMP_SCHEMA = re.compile(rb"pg_(toast_)?temp_\d+")
CLOSED = ("closed", b"")
# What ends a transaction without a Sync, if it is not one in a block.
ENDED = [("C", b"COMMIT\0"), ("C", b"ROLLBACK\0"), ("C", b"DISCARD ALL\0")]
# Where in a failed transaction PostgreSQL noticed it: at a Bind, or at the Parse that has to go ahead of it.
ABORTED = re.compile(rb"(C25P02\0M[^\0]*\0)Fpostgres\.c\0L\d+\0R\w+\0")
# A server that has had a temporary object keeps an empty schema for them.
NO_TEMP = re.compile(
    rb'C3F000\0Mschema "pg_temp" does not exist|C42883\0Mfunction pg_temp\.\w+\(\) does not exist'
)
# A message about a named statement that fails in any case: PostgreSQL may look at the statement first, which the judged
# server has not been given yet (docs/compatibility.md).
ABORTED_CODE = r"\x00C25P02\x00"
OTHER_CODE = re.compile(r"^E .*\\x00C(42P05|08P01)\\x00")
# What shows to which channels a session listens, and what does so on a server that does not.
CHANNEL = re.compile(r"D b'.*(news|gossip)'")
NO_ROWS = r"C b'SELECT 0\x00'"
COLUMN = struct.Struct("!IhIhih")
# The replies that end the answer to each message; an error does, too.
ENDINGS = {"Q": "Z", "F": "Z", "S": "Z", "P": "1", "B": "2", "D": "Tn", "E": "CsI", "C": "3"}


class Line(BlockingClient):
    """A connection in one world; `heard` are the notifications that came."""

    def __init__(self, host: str, port: int, **parameters: str) -> None:
        self.buffer = bytearray()
        self.heard: list[Message] = []
        self.broken = False  # an error: all is ignored up to the next Sync
        self.open = False  # the last request is not ended by Sync
        self.begun = False  # and began a transaction
        self.bound = False  # in which something was bound
        self.patience = PATIENCE
        super().__init__(host, port, **parameters)

    def be_patient(self, seconds: float) -> None:
        """So long, and no longer, is an answer waited for."""
        self.patience = seconds
        self.socket.settimeout(seconds)

    def ask(self, *messages: bytes) -> list[Message]:
        try:
            self.send(*messages)
        except ConnectionError:
            return [CLOSED]
        return self.answer(b"".join(messages))

    def answer(self, messages: bytes) -> list[Message]:
        """What comes to `messages`, as far as it comes; the last says what went wrong with the line itself."""
        answer: list[Message] = []
        try:
            for message in split(messages):
                self._hear(chr(message[0]), answer)
        except TimeoutError:
            answer.append(("no more", b"within %.1f seconds" % self.patience))
        except ConnectionError:
            answer.append(CLOSED)
        return answer

    def ask_again(self) -> None:
        """A Sync of our own: notifications that are due come before its answer."""
        self.ask(SYNC)

    def read(self) -> Message:
        """The next message that is no notification."""
        while True:
            while not (message := self._take()):
                self._fill()
            if message[0] != "A":
                return message
            self.heard.append(message)

    def overhear(self, count: int) -> list[Message]:
        """Notifications: all that are there, and until there are `count`, if they come in time."""
        deadline = time.monotonic() + self.patience
        self._take_notifications()
        while self._readable(max(0.0, deadline - time.monotonic()) if len(self.heard) < count else 0.0):
            self._fill()
            self._take_notifications()
        found, self.heard = self.heard, []
        return found

    def _take_notifications(self) -> None:
        while self.buffer[:1] == b"A" and (message := self._take()):
            self.heard.append(message)

    def _hear(self, kind: str, answer: list[Message]) -> None:
        if kind not in ENDINGS or (self.broken and kind != "S"):
            return
        self.open = kind not in "QFS"
        self.begun = self.open and (self.begun or kind in "PDBE")
        self.bound = self.open and (self.bound or kind in "BE")
        while True:
            answer.append(self.read())
            came = answer[-1][0]
            if came == "Z":
                self.status, self.broken = answer[-1][1].decode(), False
            if answer[-1] in ENDED and self.open:
                self.begun = self.bound = False
            if came == "E" and self.open:
                self.broken = True
                return
            if came in ENDINGS[kind]:
                return

    def _take(self) -> Message | None:
        if len(self.buffer) < 5:
            return None
        size = int.from_bytes(self.buffer[1:5], "big") + 1
        if len(self.buffer) < size:
            return None
        message = chr(self.buffer[0]), bytes(self.buffer[5:size])
        del self.buffer[:size]
        return message

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the connection was closed")
        self.buffer += data

    def _readable(self, timeout: float) -> bool:
        return bool(select.select([self.socket], [], [], timeout)[0])


class Twins:
    """The direct connection and the judged one of one client; `holds` says why it may keep a server."""

    def __init__(self, direct: Line, judged: Line) -> None:
        self.direct, self.judged = direct, judged
        self.holds: set[str] = set()
        self.named: set[str] = set()  # what executing its statement s1 may hold
        self.named_blocks = False
        self.within = False  # a transaction, as the last question was asked
        self.listens = False
        self.has_reset = False  # in the transaction that is open
        compare(sorted(judged.parameters.items()), sorted(direct.parameters.items()), "the login")

    @property
    def idle(self) -> bool:
        return self.direct.status == "I" and not self.direct.begun

    @property
    def may_have_failed(self) -> bool:
        """Its transaction: it was said so last, and what came since may have ended it."""
        return self.direct.status == "E" and self.direct.open

    @property
    def only_prepares(self) -> bool:
        """In a request that is not ended by Sync: a transaction to PostgreSQL, and none to the proxy."""
        return self.direct.begun and not self.direct.bound

    def ask(self, *messages: bytes) -> list[Message]:
        """The direct answer; AssertionError if the other is different."""
        self.within = not self.idle
        before, begun = self.direct.status, self.direct.begun
        expected = self.direct.ask(*messages)
        self.judge(expected, self.judged.ask(*messages))
        if before == "T" and self.direct.status == "I" and all(kind in "3Z" for kind, _ in expected):
            self.get_over_it()
        elif begun and messages[0][:1] == b"Q" and self.direct.status == "T":  # by no BEGIN, perhaps
            self.get_over_it(SYNC)
        return expected

    def get_over_it(self, sync: bytes = b"") -> None:
        """PostgreSQL 18 fails the next command (pool.relay, `ran`): the proxy's client is not lent such a server."""
        for line in (self.direct, self.judged):
            line.ask(sync)
            line.ask(query(""))

    def judge(self, expected: list[Message], found: list[Message]) -> None:
        for kind, _ in expected:
            assert kind != "no more", f"the direct connection itself fell silent: {expected}"
        assert self.direct.buffer[:1] in (b"", b"A"), (
            f"unread in the direct world: {bytes(self.direct.buffer)!r}"
        )
        spelled = spell_all(found)
        wanted = excuse_channels(spell_all(expected), spelled, self.within)
        compare(spelled, excuse(wanted, spelled), "it")

    def compare_notifications(self) -> None:
        if self.direct.broken or self.direct.open:  # PostgreSQL tells them, but when?
            return
        if self.idle:
            self.direct.ask_again()
        expected = self.direct.overhear(0)
        found = self.judged.overhear(len(expected))
        assert self.judged.buffer[:1] in (b"", b"A"), f"it was told more: {bytes(self.judged.buffer)!r}"
        told = [[spell_notification(message, line.pid) for message in heard] for line, heard in
                ((self.judged, found), (self.direct, expected))]  # fmt: skip
        compare(*told, "the one who listens")


def compare(found: list[object], expected: list[object], whom: str) -> None:
    if found != expected:
        raise AssertionError(f"{whom} {tell_apart([*map(str, found)], [*map(str, expected)])}")


def spell_all(messages: list[Message]) -> list[str]:
    """What is compared of an answer; settings that are reported in a row may be so in any order."""
    spelled: list[str] = []
    for kind, group in groupby(messages, lambda message: message[0]):
        told = [spell(message) for message in group]
        spelled += sorted(told) if kind == "S" else told
    return spelled


def excuse(expected: list[str], found: list[str]) -> list[str]:
    """What is expected, given that in a failed transaction a server cannot be given what its client has prepared."""
    described = [message[0] for message in expected[:2]] == ["t", "n"]
    if described and ABORTED_CODE in found[0]:  # PostgreSQL describes what returns nothing
        return [found[0], *expected[2:]]
    pairs = zip(expected, found, strict=False)
    ours = [one if ABORTED_CODE in one and OTHER_CODE.search(its) else its for its, one in pairs]
    return ours + expected[len(ours) :]


def excuse_channels(expected: list[str], found: list[str], within: bool) -> list[str]:
    """What is expected, given that within a transaction a server cannot be made to listen for its client."""
    excused: list[str] = []
    hidden = False
    for message in expected:
        hidden |= within and bool(CHANNEL.match(message)) and found[len(excused) :][:1] == [NO_ROWS]
        if message[0] != "D" or not hidden:
            excused.append(NO_ROWS if hidden and message[0] == "C" else message)
        hidden &= message[0] == "D"
        within = message != "Z b'I'" and (within or message[0] in "CZ")
    return excused


def spell(message: Message) -> str:
    """What is compared of a message."""
    kind, payload = message
    if kind == "T":
        return f"T {read_columns(payload)}"
    if kind == "E":
        payload = ABORTED.sub(rb"\1", payload)
        if NO_TEMP.search(payload):
            return "E no such object in pg_temp"
    if b"pg_" in payload and TEMP_SCHEMA.search(payload):
        if kind == "D":
            payload = b"|".join(read_row(payload))
        payload = TEMP_SCHEMA.sub(rb"pg_temp_N", payload)
    return f"{kind} {payload!r}"


def spell_notification(message: Message, own_pid: int) -> str:
    _, payload = message
    whose = "own" if int.from_bytes(payload[:4], "big") == own_pid else "another's"
    return f"A {whose} {payload[4:]!r}"


def read_columns(description: bytes) -> list[tuple[bytes, ...]]:
    """The columns of a RowDescription, without oids of users' making."""
    columns, place = [], 2
    while place < len(description):
        end = description.index(0, place)
        table, number, kind, *rest = COLUMN.unpack_from(description, end + 1)
        own = [table if table < FIRST_USER_OID else "a table", kind if kind < FIRST_USER_OID else "a type"]
        columns.append((description[place:end], number, *own, *rest))
        place = end + 1 + COLUMN.size
    return columns


def read_row(row: bytes) -> list[bytes]:
    """The values of a DataRow."""
    values, place = [], 2
    while place < len(row):
        size = int.from_bytes(row[place : place + 4], "big", signed=True)
        values.append(row[place + 4 : place + 4 + size] if size >= 0 else b"NULL")
        place += 4 + max(size, 0)
    return values
