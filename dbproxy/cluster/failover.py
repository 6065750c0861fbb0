"""Which host is the primary: found, not assumed.

Whoever says that it is not in recovery is writable. Of two, the newer timeline wins, as each promotion begins a new
one; the other is what came back of an old primary, and writes there would be lost. So a writable host is no candidate
either while any other is known to have been on a newer timeline: better no primary than that one. An operator who
knows better disables that other: who is disabled takes no part. Two names of one server are no two hosts: a name may
follow the primary about.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dbproxy.cluster.member import Member


@dataclass(frozen=True)
class Election:
    primary: Member | None
    fenced: frozenset[Member]


def elect(members: Iterable[Member], primary: Member | None) -> Election:
    """Who is primary now, if `primary` was; and who is writable without being it."""
    known = tuple(member for member in members if member.order != "disabled")
    writable = [member for member in known if member.role == "primary" and not member.health.down]
    newest = max((member.position.timeline for member in known), default=0)
    candidates = [member for member in writable if member.position.timeline in (0, newest)]
    chosen = _choose(known, candidates, primary)
    others = (member for member in writable if member is not chosen and not member.is_one_with(chosen))
    return Election(chosen, frozenset(others))


def _choose(known: tuple[Member, ...], candidates: list[Member], primary: Member | None) -> Member | None:
    if primary in candidates or (primary in known and _unheard(primary)):
        return primary  # until it is lost or says otherwise
    if any(_unheard(member) for member in known):
        return None  # it may be on a newer timeline
    return candidates[0] if candidates else None


def _unheard(member: Member | None) -> bool:
    return member is not None and not member.health.heard and not member.health.down
