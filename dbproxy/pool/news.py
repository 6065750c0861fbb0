"""What a borrower is told beside its answers, ahead of ReadyForQuery as PostgreSQL does: settings, notifications."""

from collections.abc import Mapping

from dbproxy.wire import build


class News:
    """Of one borrower. `messages` are for it once no transaction is open."""

    def __init__(self) -> None:
        self.reported: dict[str, str] = {}  # the ParameterStatus values that it was told, by lower-case name
        self.unreported: dict[str, str] = {}  # that came since, unseen: told if new
        self.messages: list[bytes] = []

    def any(self) -> bool:
        return bool(self.messages or self.unreported)

    def note(self, name: str, value: str, *, told: bool) -> None:
        """A ParameterStatus has come; whether the borrower has seen it."""
        if told:
            self.reported[name.lower()] = value
            self.unreported.pop(name, None)
        else:
            self.unreported[name] = value

    def take(self, known: Mapping[str, str], *, idle: bool) -> bytes:
        """What goes ahead of a ReadyForQuery; `known`: what is told at a login; `idle`: no transaction is open."""
        reports = b""
        for name, value in self.unreported.items():
            if self.reported.get(name.lower(), known.get(name)) != value:
                self.reported[name.lower()] = value
                reports += build.parameter_status(name, value)
        self.unreported.clear()
        if not idle:
            return reports
        found = b"".join([*self.messages, reports])
        self.messages.clear()
        return found
