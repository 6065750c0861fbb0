"""Each statement is classified once: found again by its very text, by a text like it, or by its shape.

Two texts of one shape do the same to the session, with few exceptions where a literal decides (`set_config('name', …)`,
the body of DO, …): such a shape is marked, and each of its texts is classified for itself. So is what the grammar
rejects: a bad literal of one client must not spoil the shape for all. Comments are no part of a shape; one that is a
hint, for us or for the planner, is added to it.
"""

from weakref import WeakValueDictionary

from dbproxy.sql.access import UNSEEN, Access
from dbproxy.sql.comments import cut_comments, find_plan_hints
from dbproxy.sql.identity import Shape, hash_key
from dbproxy.sql.likeness import Likenesses
from dbproxy.sql.parser import UNREADABLE, examine, find_hints
from dbproxy.sql.shape import redact, shape
from dbproxy.sql.statement import UNKNOWN, Statement

HEAD, TAIL = 1024, 256  # bytes that tell one text from another that is too long to be looked at
TEXT_SHOWN = 4096  # characters; a shape's text that has fewer is whole
_LONG = 256  # shapes of texts that are too long; each may be the only one of its kind
_SHORT = 1024  # longer texts are kept only by their shape
_BY_TEXT = Statement(effects=UNKNOWN, varies=True)  # stands for a shape whose texts differ in what they do


class StatementCache:
    """Remembers some `size` texts and `size` shapes, the most recent ones; at most `size` KiB of each, twice."""

    def __init__(self, size: int, parse_limit: int = 16384) -> None:
        self.parse_limit = parse_limit
        self.alike = Likenesses()
        self.texts = Generations(size)
        self.shapes = Generations(size)
        self.unread = Generations(_LONG)
        # All that somebody still has, by key: equal shapes are one.
        self.known: WeakValueDictionary[bytes, Shape] = WeakValueDictionary()

    def find(self, text: bytes, backslashes: bool = False) -> Shape:
        """Its `effects` are what `classify` says of the text. `backslashes`: `standard_conforming_strings` is off."""
        found = self._find_text(text, backslashes) if len(text) <= self.parse_limit else None
        if found is not None:
            return found
        plain = cut_comments(text) if b"/*" in text else text
        if len(plain) > self.parse_limit:
            plain = plain.strip()
            return self.find_long(plain[:HEAD], plain[-TAIL:], len(plain))
        if plain is text:
            return self._find_by_shape(text, backslashes)
        found = self._find_text(plain, backslashes)
        if found is None:
            return self._find_by_shape(plain, backslashes)
        if found.base is None:
            self.alike.add(text, found)
        return found

    def find_long(self, head: bytes, tail: bytes, size: int) -> Shape:
        """Of a text of `size` bytes, too long to be looked at; `tail` may be empty: it is not there yet."""
        key = b"%s\0%d\0%s" % (shape(head), size, tail)
        found = self._recall(self.unread, key)
        return found if found is not None else self._add(self.unread, key, head, UNREADABLE, UNSEEN)

    def list_shapes(self) -> list[Shape]:
        """All that are known, one for each hash."""
        return list(self.known.values())

    def _find_text(self, text: bytes, backslashes: bool) -> Shape | None:
        found = self.texts.find(text)
        if found is None:
            return self.alike.find(text, 0, len(text))
        return None if backslashes and b"\\" in text else found

    def _find_by_shape(self, text: bytes, backslashes: bool) -> Shape:
        if backslashes and b"\\" in text:
            return self._find_ambiguous(text)
        key = find_key(text)
        found = self._recall(self.shapes, key)
        if found is None:
            effects, access = examine(text)
            found = self._add(self.shapes, key, text, _BY_TEXT if effects.varies else effects, access)
            if effects.varies:
                found = Shape(found.hash, found.text, effects, access, found)
        elif found.effects is _BY_TEXT:
            effects, access = examine(text)
            found = Shape(found.hash, found.text, effects, access, found)
        else:
            self.alike.add(text, found)
            if len(text) > _SHORT:
                return found
        self.texts.add(text, found)
        return found

    def _find_ambiguous(self, text: bytes) -> Shape:
        """Backslashes escape, which the grammar does not know."""
        key = shape(text, backslashes=True) + b"\0\\"
        found = self._recall(self.shapes, key)
        return found if found is not None else self._add(self.shapes, key, text, UNREADABLE, UNSEEN)

    def _recall(self, kept: "Generations", key: bytes) -> Shape | None:
        found: Shape | None = kept.find(key)
        if found is None:
            found = self.known.get(key)
            if found is not None:
                kept.add(key, found)
        return found

    def _add(self, kept: "Generations", key: bytes, text: bytes, effects: Statement, access: Access) -> Shape:
        found = Shape(hash_key(key), show(text), effects, access)
        kept.add(key, found)
        self.known[key] = found
        return found


class Generations:
    """A bounded dict of shapes: when the young generation is full it becomes the old one, which is forgotten."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = 0  # of the keys in `young`
        self.young: dict[bytes, Shape] = {}
        self.old: dict[bytes, Shape] = {}

    def find(self, key: bytes) -> Shape | None:
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key)
            if found is not None:
                self.add(key, found)
        return found

    def add(self, key: bytes, found: Shape) -> None:
        self.bytes += len(key)
        if len(self.young) >= self.size or self.bytes > self.size << 10:
            self.old = self.young
            self.young = {}
            self.bytes = len(key)
        self.young[key] = found


def find_key(text: bytes) -> bytes:
    """What makes a text equal to others: its shape, and its hints."""
    hints = _find_hints(text)
    return b"\0".join([shape(text), *hints]) if hints else shape(text)


def show(text: bytes) -> str:
    """A text without its literals, as `Shape` has it: its hints ahead of it, cut to 4096 characters."""
    hints = [
        b"/*+ " + redact(hint[3:-2]).strip() + b" */" if hint[:3] == b"/*+" else hint
        for hint in _find_hints(text)
    ]
    shown = b" ".join([*hints, redact(text)]).decode("utf-8", "replace")
    return shown if len(shown) <= TEXT_SHOWN else shown[: TEXT_SHOWN - 1] + "…"


def _find_hints(text: bytes) -> list[bytes]:
    if b"/*" not in text and b"--" not in text:
        return []
    hints = [b"/* dbproxy: %s */" % ours.encode() for ours in find_hints(text) if ours]
    return hints + find_plan_hints(text) if b"/*+" in text else hints
