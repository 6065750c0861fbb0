# cython: boundscheck=False, wraparound=False
"""Which requests become spans: asked for each one that is over, so compiled, and done in a few comparisons.

A request without a parent is picked by share. Its trace id is drawn only once it is picked, below the bound that the
share sets (OpenTelemetry's TraceIdRatioBased looks at the lower 64 bits), so that whoever decides by the id alone
agrees. How many are passed over until the next one is drawn at once (a geometric distribution): a number to count down.

A parent's flag is looked for in comments by form only: a text that has one where no tags stand (in a string between
dollars, say) is found out by the thread that makes the span, and dropped there.
"""

import math
import random
import re
from typing import Any

from dbproxy.observe.context import NOT_FOUND, read_settings
from dbproxy.observe.record import KEPT, NOT_ASKED, PASSED, SAMPLED, TAGGED
from dbproxy.wire.extended import cut, length_at

FOLLOW, RATIO, IGNORE = 0, 1, 2
PARENTS = {"follow": FOLLOW, "ratio": RATIO, "ignore": IGNORE}
NEVER = 1 << 62
HEAD, TAIL = 512, 1536  # bytes of a long text that are looked at for tags
_SLASH, _STAR = 0x2F, 0x2A
_FORM = re.compile(
    rb"(?i:traceparent)\s*=\s*'(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{16}([0-9a-f]{16})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)
_NAME = re.compile(rb"(?i:traceparent)\s*=")


class Sampler:
    """Of the whole proxy; `set` changes what it goes by. `listener` hears of what it chooses (dbproxy.gates)."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.bound = 0  # of 2 ** 64: ids below it are picked
        self.share = 0.0
        self.skip = NEVER  # requests without a parent until the next one that is picked
        self.parent = FOLLOW
        self.keeps_failed = False
        self.keeps_slow = False
        # Contexts that were found, since start; those of comments that are none.
        self.in_comments = 0
        self.in_settings = 0
        self.in_names = 0
        self.invalid_comments = 0
        self.invalid_settings = 0

    def set(self, share: float, parent: str, *, failed: bool, slow: bool) -> None:
        self.share = share
        self.bound = round(share * 2**64)
        self.parent = PARENTS[parent]
        self.keeps_failed = failed
        self.keeps_slow = slow
        self.skip = self.draw()

    def choose(self, chunk: bytes, at: int, settings: Any, slow: bool, failed: bool) -> int:
        """SAMPLED, KEPT (as it was slow, or has failed) and TAGGED (by a comment of its text), or PASSED.

        `chunk`, `at`: where the text is (wire.extended.statement_text); `settings`: the session's
        (pool.parameters), which remember what they say.
        """
        kept = KEPT if (slow and self.keeps_slow) or (failed and self.keeps_failed) else PASSED
        if self.parent != IGNORE:
            if chunk and self.has_comment(chunk, at):
                found = self.judge_text(chunk, at)
                if found != NOT_ASKED:
                    return found | kept if found & SAMPLED or kept else PASSED
            known = settings.trace
            if known is None:
                known = settings.trace = read_settings(settings.values)
            if known is not NOT_FOUND:
                found = self.judge_settings(known)
                if found != NOT_ASKED:
                    return found | kept
        if self.skip > 0:
            self.skip -= 1
            return kept
        self.skip = self.draw()
        return SAMPLED | kept

    def draw(self) -> int:
        """How many are passed over until one is picked."""
        if self.share >= 1:
            return 0
        if self.share <= 0:
            return NEVER
        return int(math.log(1.0 - random.random()) / math.log1p(-self.share))  # noqa: S311  # no secret

    # --- parents ---

    def has_comment(self, chunk: bytes, at: int) -> bool:
        """Whether the text has one at its beginning or its end, as far as a look tells."""
        start = 0 if at < 0 else at + 5
        stop = len(chunk) if at < 0 else min(at + length_at(chunk, at), len(chunk))
        if stop - start > HEAD + TAIL:
            return find_comment(chunk, start, start + HEAD) or find_comment(chunk, stop - TAIL, stop)
        return find_comment(chunk, start, stop)

    def judge_text(self, chunk: bytes, at: int) -> int:
        """By what looks like a traceparent in it: the last, or any that is sampled; NOT_ASKED: there is none."""
        start = 0 if at < 0 else at + 5
        stop = len(chunk) if at < 0 else min(at + length_at(chunk, at), len(chunk))
        text = cut(chunk, start, stop)
        if stop - start > HEAD + TAIL:
            text = text[:HEAD] + b"\0" + text[stop - start - TAIL :]
        matches = _FORM.findall(text)
        if not matches:
            self.invalid_comments += _NAME.search(text) is not None
            return NOT_ASKED
        self.in_comments += 1
        if self.parent == RATIO:
            return TAGGED | (SAMPLED if int(matches[len(matches) - 1][0], 16) < self.bound else PASSED)
        return TAGGED | (SAMPLED if any(int(flags, 16) & 1 for _, flags in matches) else PASSED)

    def judge_settings(self, found: Any) -> int:
        """`found`: what they say (observe.context); NOT_ASKED: it is no context."""
        if found.context is None:
            self.invalid_settings += 1
            return NOT_ASKED
        if found.source == "setting":
            self.in_settings += 1
        else:
            self.in_names += 1
        return SAMPLED if self.is_sampled(found.context) else PASSED

    def is_sampled(self, context: Any) -> bool:
        if self.parent == RATIO:
            return int(context.trace_id[16:], 16) < self.bound
        return bool(context.sampled)


def find_comment(chunk: bytes, i: int, stop: int) -> bool:
    """Whether one begins there."""
    buffer = chunk
    while i + 1 < stop:
        if buffer[i] == _SLASH and buffer[i + 1] == _STAR:
            return True
        i += 1
    return False
