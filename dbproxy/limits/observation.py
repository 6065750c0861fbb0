"""A transaction that runs, as limits are only observed, while Redis is asked whether it might.

Nobody has paid for it until Redis has answered: what it uses meanwhile is charged then, or, if it would have been
refused, not at all. So nothing is given back that was never paid.
"""

from dbproxy.limits.reply import Reply
from dbproxy.limits.subject import Subject, find_slowest


class Observation:
    """`over`: it has ended, and is to be charged for these (spans are microseconds)."""

    def __init__(self, subjects: tuple[Subject, ...]) -> None:
        self.subjects = subjects
        self.over = False
        self.span = 0
        self.rows = 0
        self.transactions = 0
        self.statements = 0
        self.cheap = False  # it has needed no server

    def add(self, span: int, rows: int, transactions: int, statements: int) -> None:
        self.span += span
        self.rows += rows
        self.transactions += transactions
        self.statements += statements

    def end(self) -> None:
        """It runs no more."""
        self.over = True
        for subject in self.subjects:
            subject.end()

    def settle(self, reply: Reply, now: int) -> None:
        """Redis has answered, or does not: then it has let it go, and nobody has paid."""
        if reply.allowed or reply.failed:
            for subject in self.subjects:
                subject.count(now)
        else:
            find_slowest(self.subjects, now).tally.observed += 1
            for subject in self.subjects:
                subject.used -= 1
        if reply.allowed:
            self.charge(now)
        elif not self.over:
            for subject in self.subjects:
                subject.end()

    def charge(self, now: int) -> None:
        """What is over, beside the one that was paid for."""
        for subject in self.subjects:
            number = self.statements if subject.counts_queries else self.transactions
            subject.charge(now, self.span, self.rows, number - 1 if self.over else number)
            if self.cheap:
                subject.refund()
