"""PostgreSQL's rules for replies, as far as a pipeline needs them: which kinds of replies a sequence of messages gets.

"Extended Query": after an error messages are discarded until Sync. "COPY Operations": Sync and Flush are ignored in
copy-in mode; data are ignored outside of it.
"""

from dataclasses import dataclass, field

REPLIES = {"P": "1", "B": "2", "C": "3", "D": "T", "E": "C", "S": "Z", "Q": "TCZ", "F": "VZ"}


@dataclass(frozen=True)
class Step:
    """A message with what PostgreSQL will find of it.

    `kind` is its byte; `fails`; `copies`: an Execute or Query that reads so many COPYs. `f` is CopyFail. `faked`: the
    proxy does not send it; `ours`: messages that the proxy sends ahead of it, as (kind, fails).
    """

    kind: str
    fails: bool = False
    copies: int = 0
    faked: bool = False
    ours: tuple[tuple[str, bool], ...] = ()


@dataclass
class Postgres:
    """`replies` are the kinds sent so far."""

    replies: str = ""
    ignoring: bool = False
    copying: Step | None = None
    copies_left: int = field(default=0)

    def receive(self, step: Step) -> None:
        if self.copying is not None:
            self.copy(step, self.copying)
        elif step.kind in "cfdH" or (self.ignoring and step.kind != "S"):
            return
        elif step.fails:
            self.fail(simple=step.kind in "QFS")
        elif step.copies:
            self.copying, self.copies_left = step, step.copies
            self.replies += "G"
        else:
            self.ignoring = False
            self.replies += REPLIES[step.kind]

    def copy(self, step: Step, command: Step) -> None:
        if step.kind == "f":
            self.copying = None
            self.fail(simple=command.kind == "Q")
        elif step.kind == "c":
            self.copies_left -= 1
            self.replies += "C"
            if self.copies_left:
                self.replies += "G"
                return
            self.copying = None
            self.replies += "Z" * (command.kind == "Q")

    def fail(self, *, simple: bool) -> None:
        self.replies += "EZ" if simple else "E"
        self.ignoring = not simple
