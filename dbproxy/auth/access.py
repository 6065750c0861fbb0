"""Who may log in, and how: what the settings and their files say, read once."""

from dataclasses import dataclass, field

from dbproxy.auth.hba import Method, Rules
from dbproxy.auth.ident import Maps
from dbproxy.auth.users import Users


@dataclass(frozen=True, slots=True)
class Access:
    """`rules` decide, or `method` for all where they are None; `allow_cleartext`: passwords on plain lines, too."""

    users: Users = field(repr=False)
    method: Method = "scram-sha-256"
    rules: Rules | None = None
    maps: Maps = ()
    allow_cleartext: bool = False

    @property
    def trusts_all(self) -> bool:
        """Nobody has to show anything."""
        return self.rules is None and self.method == "trust"
