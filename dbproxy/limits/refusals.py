"""What becomes known of refusals: what their clients are told, and which of them our log tells one by one.

Of each subject the log tells one a second. The others are counted, told in sum, and get the words of the one before as
long as those are true: a tenant that asks for a hundred times its limit must not fill the disk, nor cost a line and a
text each time.
"""

from dbproxy.errors import RateLimited
from dbproxy.limits.book import Book
from dbproxy.limits.subject import Subject
from dbproxy.limits.wording import Reason, describe, spell_until
from dbproxy.wire import build

SECOND = 1_000_000
MOST = 50  # subjects whose sums are told apart in one second


class Told:
    """Of one subject, in the second that has `begun`: how many `more` there were, and what they were told, and why."""

    __slots__ = ("because", "begun", "error", "more")

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.more = 0
        self.error: RateLimited | None = None
        self.because: tuple[int, Reason, str] | None = None


class Refusals:
    """Of the last second. `now` and `wait`: microseconds."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.told: dict[Subject, Told] = {}

    def refuse(self, subject: Subject, reason: Reason, wait: int, now: int) -> RateLimited:
        """One more, for this reason; `wait`: how long that holds."""
        subject.refused += 1
        subject.tally.rejected += 1
        until = spell_until(reason, wait)
        told = self.told.get(subject)
        if told is None:
            self.told[subject] = Told(now)
            error = self.spell(subject, reason, until)
            error.facts = self.describe(subject)
            return error
        told.more += 1
        because = (subject.version, reason, until)
        if told.error is None or told.because != because:
            told.because = because
            told.error = self.spell(subject, reason, until)
            told.error.quiet = True
            told.error.spelled = build.error_response(told.error)
        return told.error

    def spell(self, subject: Subject, reason: Reason, until: str) -> RateLimited:
        return RateLimited(
            f"rate limit exceeded for {self.book.name(subject)} (tier {subject.tier})",
            detail=describe(subject, reason),
            hint=f"retry after {until}",
        )

    def describe(self, subject: Subject) -> dict[str, str]:
        """For a log line."""
        return {"rule": subject.rule, "key": self.book.show_key(subject), "tier": subject.tier}

    def take(self, now: int) -> list[tuple[Subject | None, int]]:
        """Of the seconds that are over, how many more there were: most first, those of all the rest as None's."""
        over = [subject for subject, told in self.told.items() if now - told.begun >= SECOND]
        found = [(subject, self.told.pop(subject).more) for subject in over]
        found = sorted((pair for pair in found if pair[1]), key=lambda pair: -pair[1])
        rest = sum(more for _, more in found[MOST:])
        return [*found[:MOST], *([(None, rest)] if rest else [])]
