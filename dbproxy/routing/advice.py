"""What the configuration's rules and the users' plugin say of a statement, as a hint would."""

from collections.abc import Sequence

from dbproxy.cluster.member import Member
from dbproxy.config import RuleSettings
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.routing.plugins import Plugin
from dbproxy.routing.rules import Rules
from dbproxy.sql.statement import Statement


class Advice:
    """For the users of `pool`. The plugin comes first."""

    def __init__(self, pool: Pool, rules: tuple[RuleSettings, ...], plugin: Plugin | None) -> None:
        self.pool = pool
        self.rules = Rules(rules)
        self.plugin = plugin

    def is_given(self) -> bool:
        """Whether there is anybody who might say something."""
        return self.plugin is not None or bool(self.rules.rules)

    def find_hint(self, statement: Statement, settings: Parameters, members: Sequence[Member]) -> str:
        """As the statement's text would spell it; "" if nobody says anything."""
        hint = ""
        if self.plugin is not None:
            hint = self.plugin.route(statement, settings, self.pool, members)
        return hint or self.rules.route(statement)
