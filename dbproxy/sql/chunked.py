"""What is known of a statement with the place {chunk}, once `placeholder` has read it: without the grammar."""

from dataclasses import dataclass

PLACE = "{chunk}"
MARK = "dbproxy_chunk"  # a column that stands for the place where the grammar reads


class Unreadable(ValueError):
    """What is wrong with it, in words."""


@dataclass(frozen=True, slots=True)
class Relation:
    schema: str  # "": not said
    name: str
    alias: str  # what its columns are called by


@dataclass(frozen=True, slots=True)
class Chunked:
    """What the grammar knows of one. `kind`: what it does where the place is, or in a sub-select of what.

    `matching`: its own condition as a query of the target alone, with the place.
    """

    kind: str
    before: str
    behind: str
    relations: tuple[Relation, ...]  # that are read at the level of the place
    changed: frozenset[str]  # columns of these relations that it sets, wherever in it
    condition: frozenset[str]  # columns that its own condition mentions
    matching: str
    loose: frozenset[str]  # of an UPDATE or DELETE: what it reads there without joining it to what it changes

    def fill(self, condition: str) -> str:
        return f"{self.before}({condition}){self.behind}"

    def fill_matching(self, columns: str, condition: str) -> str:
        """A query for these columns of the rows that its own condition is for; "" if it is not of one table."""
        if not self.matching:
            return ""
        return self.matching.replace("'dbproxy columns'", columns).replace(MARK, f"({condition})")
