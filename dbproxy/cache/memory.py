"""The first tier: what this process keeps, bounded by bytes; who was asked for longest ago goes first."""

from collections import OrderedDict

from dbproxy.cache.admission import Sightings
from dbproxy.cache.entry import Entry


class Memory:
    """`limit`: bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.evicted = 0
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.sightings = Sightings()  # of what is not kept, as it may be asked for only once

    def find(self, key: bytes) -> Entry | None:
        """It may be out of date."""
        return self.entries.get(key)

    def use(self, entry: Entry) -> None:
        entry.hits += 1
        self.entries.move_to_end(entry.key)

    def keep(self, entry: Entry) -> None:
        """In the place of what was kept under its key, whose hits count on."""
        before = self.entries.get(entry.key)
        if before is not None:
            entry.hits += before.hits
            self.drop(entry.key)
        self.entries[entry.key] = entry
        self.size += entry.size
        self.shrink(self.limit)

    def drop(self, key: bytes) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size

    def shrink(self, limit: int) -> None:
        while self.size > limit and self.entries:
            _, entry = self.entries.popitem(last=False)
            self.size -= entry.size
            self.evicted += 1
