"""The one life that every feature has: off, observed or on, for a share of the sessions, switched at run time.

    OFF      it is not there
    OBSERVE  its decisions are made and counted, and change nothing
    ON       they are carried out

`percent` of the sessions are *treated* so; for the others, the *control* arm, the feature is off. Which arm a session
is in depends on its number alone: raising the share moves sessions from control to treated and none the other way, and
those of both arms run beside each other, under the same load, so that what they are seen to do can be compared.
A session takes over a switch between two transactions, never inside one.
"""

from typing import Protocol

OFF, OBSERVE, ON = 0, 1, 2  # compiled, C numbers
MODES = {"off": OFF, "observe": OBSERVE, "on": ON}
NAMES = {number: name for name, number in MODES.items()}
_SPREAD = (
    0x9E3779B97F4A7C15  # odd, near 2**64 / golden ratio: neighbours in number are no neighbours in share
)


class Session(Protocol):
    """A client."""

    @property
    def id(self) -> int: ...


class Request(Protocol):
    """One that is over (pool.query)."""

    microseconds: int
    failed: bool

    @property
    def session(self) -> Session: ...


class Arm:
    """Sessions for which the feature stands alike, and what was counted of them. Times are microseconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode = OFF
        self.requests = 0
        self.errors = 0
        self.microseconds = 0

    def count(self, microseconds: int, failed: bool) -> None:
        """A request of one of them is over."""
        self.requests += 1
        self.microseconds += microseconds
        if failed:
            self.errors += 1


class Stand:
    """Where a feature stands for one session: its arm, and the mode, as of this version of the switch."""

    def __init__(self, version: int, arm: Arm) -> None:
        self.version = version
        self.arm = arm
        self.mode = arm.mode


UNDECIDED = Stand(0, Arm("undecided"))  # where a session begins: off, and out of date


class Feature:
    """One feature of one database and user. `version` grows with each switch; stands of before are out of date."""

    def __init__(self, name: str, mode: str = "off", percent: int = 100) -> None:
        """ValueError if the mode is none, or the share is no share."""
        self.name = name
        self.treated = Arm("treated")
        self.control = Arm("control")
        self.percent = 100
        self.version = 0
        self.switch(mode, percent)

    @property
    def mode(self) -> str:
        return NAMES[self.treated.mode]

    def switch(self, mode: str, percent: int) -> None:
        """Let it stand so, from each session's next transaction on; what the arms have counted is kept."""
        if mode not in MODES:
            raise ValueError(f"{self.name}: {mode!r} is none of {', '.join(MODES)}")
        if not 0 <= percent <= 100:
            raise ValueError(f"{self.name}: {percent} is no percentage")
        if (mode, percent) != (self.mode, self.percent) or not self.version:
            self.treated.mode = MODES[mode]
            self.percent = percent
            self.version += 1

    def hear(self, request: Request) -> None:
        """A listener (dbproxy.gates), for as long as it compares: a request is over."""
        self.arm_of(request.session.id).count(request.microseconds, request.failed)

    def compares(self) -> bool:
        """Whether there are sessions in both arms, so that requests are worth being counted by arm."""
        return self.treated.mode != OFF and 0 < self.percent < 100

    def arm_of(self, session: int, *, always: bool = False) -> Arm:
        """Of the session with this number; `always`: it is treated whatever the share is."""
        if always or self.percent >= 100:
            return self.treated
        place = session * _SPREAD % 2**64 * 100 >> 64  # 0 to 99
        return self.treated if place < self.percent else self.control

    def stand(self, session: int, before: Stand, *, in_transaction: bool, always: bool = False) -> Stand:
        """Where it stands for this session now; `before`: where it did, which holds to the transaction's end."""
        if before.version == self.version or (in_transaction and before.version):
            return before
        return Stand(self.version, self.arm_of(session, always=always))

    def arms(self) -> tuple[Arm, Arm]:
        return self.treated, self.control
