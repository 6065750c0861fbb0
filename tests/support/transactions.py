"""Random transactions of several clients at once, each in two worlds, of which both must say the same, byte for byte.

One step after the other, so that it is certain what each statement sees; the clients take turns, and write rows of
their own, so that none waits for another. Both databases have the same OIDs: one is made of the other.
"""

import random
from collections import Counter

from tests.support.speech import FLUSH, SYNC, bind, describe_portal, execute, parse, query
from tests.support.twins import Line

CLIENTS = 4
SCHEMA = f"""
    CREATE TABLE items (id int PRIMARY KEY, tenant text, n int);
    INSERT INTO items SELECT n, chr(96 + n), 0 FROM generate_series(1, {CLIENTS}) AS n;
    CREATE TABLE others (id int PRIMARY KEY, n int);
    INSERT INTO others SELECT n, 0 FROM generate_series(1, {CLIENTS}) AS n;
    CREATE VIEW own AS SELECT id, n FROM items WHERE tenant = current_setting('app.tenant', true);
    CREATE FUNCTION be(text) RETURNS text STABLE LANGUAGE sql AS 'SELECT set_config(''app.tenant'', $1, true)';
"""
LEVELS = ["READ COMMITTED", "READ UNCOMMITTED", "REPEATABLE READ", "REPEATABLE READ", "SERIALIZABLE"]
ROW = "SELECT n FROM items WHERE id = {}"
READS = [
    "SELECT sum(n) FROM items",
    "SELECT i.id, i.n, o.n FROM items AS i JOIN others AS o USING (id) ORDER BY id",
    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')",
    "SHOW transaction_isolation",
    "SHOW transaction_read_only",
    *(ROW.format(row) for row in range(1, CLIENTS + 1)),
]
HOT = ["SELECT id, n FROM items ORDER BY id", "SELECT id, n FROM own"]
SETTINGS = [
    "SET default_transaction_read_only = on",
    "SET default_transaction_read_only = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    *(f"SET default_transaction_isolation = '{level.lower()}'" for level in LEVELS[:3]),
    "SET app.tenant = 'a'",
    "SET app.tenant = 'b'",
    "RESET ALL",
]
# Right behind a BEGIN. Behind a read that no server was asked PostgreSQL does not refuse it (docs/compatibility.md).
MODES = [
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION READ WRITE",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
]
LOCAL = [
    "SET LOCAL app.tenant = 'c'",
    "SELECT set_config('app.tenant', 'd', true)",
    "SELECT be('c')",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "SELECT 1 / 0",
    "SELECT FROM nowhere",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
]
ENDS = ["COMMIT", "END", "ROLLBACK"]


class Difference(AssertionError):
    """What the two have said."""


class Player:
    """One client: `direct` is how it should be."""

    def __init__(self, number: int, direct: Line, judged: Line, seed: object) -> None:
        self.number = number
        self.direct = direct
        self.judged = judged
        self.chance = random.Random(f"{seed} {number}")
        self.later: list[bytes] = []  # of its request
        self.names: set[str] = set()  # of statements that were prepared
        self.history: list[str] = []
        self.begun = False  # nothing was said behind its BEGIN but SET TRANSACTION
        self.forgets_isolation = False

    def play(self, counts: Counter[str]) -> None:
        counts["in transactions" if self.direct.status == "T" else "others"] += 1
        messages, self.later = (self.later, []) if self.later else (self.choose(), [])
        place = self.chance.choice([0, 0, 0, *range(len(messages))])
        parses = place > 0 and messages[place - 1][:1] == b"P"
        if parses and self.direct.status == "T":  # as asyncpg does: it hears of its Parse, and goes on later
            messages, self.later = [*messages[:place], FLUSH], messages[place:]
        expected, found = self.direct.ask(*messages), self.judged.ask(*map(self.spoil, messages))
        if expected != found:
            raise Difference(f"client {self.number}: {self.history[-12:]}\n{expected}\n{found}")

    def spoil(self, message: bytes) -> bytes:
        """What the judged one is asked instead, if its mistakes are to be noticed."""
        if not self.forgets_isolation or b"ISOLATION LEVEL REPEATABLE READ READ ONLY" not in message:
            return message
        return query("BEGIN READ ONLY")

    # --- what is asked ---

    def choose(self) -> list[bytes]:
        chance = self.chance.random()
        if self.direct.status == "E":
            return self.say(self.pick(["ROLLBACK", "ROLLBACK TO a", "COMMIT", HOT[0]]))
        if self.direct.status == "T":
            if self.begun and chance < 0.3:
                return self.say(self.pick(MODES))
            self.begun = False
            if chance < 0.8:
                return self.read()
            if chance < 0.83:
                return self.say(self.write())
            return self.say(self.pick(LOCAL if chance < 0.88 else ENDS))
        if chance < 0.3:
            return self.read()
        if chance < 0.5:
            return self.say(self.write())
        return self.say(self.pick(SETTINGS)) if chance < 0.52 else self.begin()

    def pick(self, texts: list[str]) -> str:
        return self.chance.choice(texts)

    def write(self) -> str:
        """A row of its own; where another writes it never looks for this one."""
        return f"UPDATE {self.pick(['items', 'others'])} SET n = n + 1 WHERE id = {self.number}"

    def begin(self) -> list[bytes]:
        level = f" ISOLATION LEVEL {self.pick(LEVELS)}" if self.chance.random() < 0.5 else ""
        # Serializable ones that write may fail for others' sake.
        access = " READ ONLY" if "SERIAL" in level else self.pick([" READ ONLY"] * 5 + [" READ WRITE", ""])
        text = self.pick(["BEGIN", "START TRANSACTION"]) + level + access
        form = self.chance.random()
        if form < 0.15:
            return self.say(text) + self.read()
        if form < 0.3:  # as JDBC does: in one series with what comes behind it
            self.history.append(f"{text} and {HOT[0]}")
            both = [[parse("", sql), bind(), describe_portal(), execute()] for sql in (text, HOT[0])]
            return [*both[0], *both[1], SYNC]
        self.begun = True
        return self.say(text)

    def say(self, text: str) -> list[bytes]:
        self.history.append(text)
        if self.chance.random() < 0.2:
            return [parse("", text), bind(), describe_portal(), execute(), SYNC]
        return [query(text)]

    def read(self) -> list[bytes]:
        """Mostly what others ask, too, in the same words: only that is answered from what is kept."""
        form = self.chance.random()
        if form < 0.6:
            return self.say(self.pick(HOT))
        row = self.chance.randint(1, CLIENTS)
        if form < 0.7:
            self.history.append(f"row {row}")
            return [parse("", ROW.format("$1::int4")), bind("", str(row)), execute(), SYNC]
        if form < 0.75:
            self.history.append("the unnamed statement again")
            return [bind(), describe_portal(), execute("", self.chance.randint(0, 2)), SYNC]
        if form < 0.8:
            place = self.chance.randrange(len(READS))
            return self.call(f"read_{place}", READS[place])
        if form < 0.85:
            return self.say(self.pick(READS)) + self.say(self.pick(READS))
        return self.say(self.pick(READS))

    def call(self, name: str, text: str) -> list[bytes]:
        """By name; its first Parse comes in the same breath, or alone."""
        self.history.append(f"{name}: {text}")
        parses = [] if name in self.names else [parse(name, text)]
        self.names.add(name)
        return [*parses, bind(name), describe_portal(), execute(), SYNC]


def play(players: list[Player], steps: int, seed: object) -> Counter[str]:
    """How many steps were taken inside of transactions, and how many not; Difference."""
    turns, counts = random.Random(f"{seed} turns"), Counter[str]()
    for _ in range(steps):
        turns.choice(players).play(counts)
    return counts
