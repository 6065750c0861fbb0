"""How applications use a statement: the patterns that cost them most, and that no database reports.

loop          the same read LOOP times in one transaction, one after the other's answer: "N+1"
lone read     a read-write transaction that did nothing but read: a replica could have answered
idle          a transaction that was open and asked nothing, by the statement ahead of that
many texts    the statement comes with ever new literals, where parameters would do
large result  more than LARGE rows of a query without LIMIT
"""

LOOP = 20  # times in one transaction from which on it is a loop
MANY_TEXTS = 1000
LARGE = 10_000  # rows
IDLE_US = 1_000_000  # that a transaction asked nothing: longer than an application thinks
SAMPLED = 32  # every so many calls one text is looked at
SAMPLES = 32  # of these, DIFFERENT must be texts of their own
DIFFERENT = 30


class Habits:
    """Of one entry, since reset. `texts`: calls in times when nearly each had a text of its own."""

    def __init__(self) -> None:
        self.loops = 0
        self.longest_loop = 0
        self.lone_reads = 0
        self.idle_count = 0
        self.idle_us = 0
        self.longest_idle_us = 0
        self.texts = 0
        self.large_results = 0
        self.largest_result = 0
        self.sampled: set[int] = set()
        self.samples = 0

    def note_loop(self, times: int) -> None:
        """It has come so often in the transaction at hand."""
        if times == LOOP:
            self.loops += 1
        if times >= LOOP and times > self.longest_loop:
            self.longest_loop = times

    def note_lone_read(self) -> None:
        self.lone_reads += 1

    def note_idle(self, microseconds: int) -> None:
        self.idle_count += 1
        self.idle_us += microseconds
        if microseconds > self.longest_idle_us:
            self.longest_idle_us = microseconds

    def note_large(self, rows: int) -> None:
        """So many at once, and nothing in its text that keeps them from being more."""
        self.large_results += 1
        if rows > self.largest_result:
            self.largest_result = rows

    def note_text(self, hashed: int) -> None:
        """One of SAMPLED texts, by its hash."""
        self.sampled.add(hashed)
        self.samples += 1
        if self.samples == SAMPLES:
            if len(self.sampled) >= DIFFERENT:
                self.texts += SAMPLES * SAMPLED
            self.samples = 0
            self.sampled.clear()

    def describe(self) -> list[str]:
        """The patterns, by name."""
        found = {
            "loop": self.loops > 0,
            "lone_read": self.lone_reads > 0,
            "idle_in_transaction": self.longest_idle_us >= IDLE_US,
            "many_texts": self.texts > MANY_TEXTS,
            "large_result": self.large_results > 0,
        }
        return [name for name, there in found.items() if there]
