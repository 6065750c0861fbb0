"""Which answers are worth being kept, where most are asked for only once: those that are asked for a second time.

What was asked for is remembered as a bit, of two spans of time: for 30 to 60 s, or for as many others as a span has
room for. Keys that share a bit are taken for each other, which costs nothing but an answer that is kept too early.
"""

SPAN = 30.0  # seconds
ROOM = 100_000  # keys of one span: then one in ten is taken for another
_BITS = 1 << 20  # of one span


class Sightings:
    """Of keys. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.recent = bytearray()
        self.former = bytearray()
        self.count = ROOM  # of keys in the recent ones: it is full, as it has no bits yet
        self.turned_at = 0.0

    def note(self, key: bytes, now: float) -> bool:
        """Whether it was seen lately; from now on it was."""
        if self.count >= ROOM or now >= self.turned_at + SPAN:
            self.turn(now)
        number = hash(key) & (_BITS - 1)
        place, bit = number >> 3, 1 << (number & 7)
        if self.recent[place] & bit:
            return True
        self.recent[place] |= bit
        self.count += 1
        return bool(self.former[place] & bit)

    def turn(self, now: float) -> None:
        """Another span begins."""
        lately = self.recent and now < self.turned_at + 2 * SPAN
        self.former = self.recent if lately else bytearray(_BITS >> 3)
        self.recent = bytearray(_BITS >> 3)
        self.count = 0
        self.turned_at = now
