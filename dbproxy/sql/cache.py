"""Each statement is classified once: found again by its very text, by a text like it, or by its shape.

Two texts of one shape do the same to the session, with few exceptions where a literal decides (`set_config('name', …)`,
the body of DO, …): such a shape is marked, and each of its texts is
classified for itself. So is what the grammar rejects: a bad literal of one client must not spoil the shape for all.
Comments are no part of a shape, so one that is a hint is added to it.
"""

from dbproxy.sql.likeness import Likenesses
from dbproxy.sql.parser import UNREADABLE, classify, find_hint
from dbproxy.sql.shape import shape
from dbproxy.sql.statement import UNKNOWN, Statement

_SHORT = 1024  # longer texts are kept only by their shape
_BY_TEXT = Statement(effects=UNKNOWN, varies=True)  # stands for a shape whose texts differ in what they do


class StatementCache:
    """Remembers some `size` texts and `size` shapes, the most recent ones; at most `size` KiB of each, twice."""

    def __init__(self, size: int, parse_limit: int = 16384) -> None:
        self.parse_limit = parse_limit
        self.alike = Likenesses()
        self.texts = Generations(size)
        self.shapes = Generations(size)

    def find(self, text: bytes, backslashes: bool = False) -> Statement:
        """What `classify` says of the text. `backslashes`: `standard_conforming_strings` is off."""
        found = self.texts.find(text)
        if found is None:
            found = self.alike.find(text, 0, len(text))
            if found is not None:
                return found
            return self._find_by_shape(text, backslashes)
        if backslashes and b"\\" in text:
            return UNREADABLE
        return found

    def find_texts(self, ids: set[int]) -> dict[int, bytes]:
        """A text, or at least the shape, of each of the statements with these ids that is still known."""
        kept = (self.shapes.old, self.shapes.young, self.texts.old, self.texts.young)  # from worst to best
        return {id(found): text for known in kept for text, found in known.items() if id(found) in ids}

    def _find_by_shape(self, text: bytes, backslashes: bool) -> Statement:
        if len(text) > self.parse_limit or (backslashes and b"\\" in text):
            return UNREADABLE
        key = shape(text)
        if b"/*" in text or b"--" in text:
            hint = find_hint(text)
            if hint:
                key += b"\0" + hint.encode()
        found = self.shapes.find(key)
        if found is None:
            found = classify(text)
            self.shapes.add(key, _BY_TEXT if found.varies else found)
        elif found is _BY_TEXT:
            found = classify(text)
        else:
            self.alike.add(text, found)
            if len(text) > _SHORT:
                return found
        self.texts.add(text, found)
        return found


class Generations:
    """A bounded dict of statements: when the young generation is full it becomes the old one, which is forgotten."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = 0  # of the keys in `young`
        self.young: dict[bytes, Statement] = {}
        self.old: dict[bytes, Statement] = {}

    def find(self, key: bytes) -> Statement | None:
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key)
            if found is not None:
                self.add(key, found)
        return found

    def add(self, key: bytes, statement: Statement) -> None:
        self.bytes += len(key)
        if len(self.young) >= self.size or self.bytes > self.size << 10:
            self.old = self.young
            self.young = {}
            self.bytes = len(key)
        self.young[key] = statement
