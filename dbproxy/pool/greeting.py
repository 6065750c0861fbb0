"""What a pool's clients are told as they log in: ParameterStatus messages, spelled once for all who are told them."""

from collections.abc import Mapping

from dbproxy.wire import build

MOST = 64  # that are kept


class Greeting:
    """One pool's. What its servers tell (`welcome`) is never changed, but replaced."""

    def __init__(self) -> None:
        self.welcome: Mapping[str, str] = {}
        self.spelled: dict[tuple[tuple[str, str], ...], bytes] = {}  # by what a client is told otherwise

    def spell(self, welcome: Mapping[str, str], reported: Mapping[str, str]) -> bytes:
        """`reported`: what the settings that the client asked for lead to."""
        if welcome is not self.welcome or len(self.spelled) > MOST:
            self.welcome, self.spelled = welcome, {}
        key = tuple(reported.items())
        spelled = self.spelled.get(key)
        if spelled is None:
            spelled = self.spelled[key] = build.parameter_statuses({**welcome, **reported})
        return spelled
