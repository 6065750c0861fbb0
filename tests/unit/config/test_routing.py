import pytest
from pydantic import ValidationError

from dbproxy.config import AUTO, RoutingSettings
from dbproxy.config.routing import show_hedge_after


@pytest.mark.parametrize(
    ("written", "meant", "shown"),
    [("auto", AUTO, "auto"), ("100ms", 0.1, "100ms"), ("0", 0.0, "0s"), (2, 2.0, "2s")],
)
def test_hedge_after_is_auto_or_a_duration(written: object, meant: object, shown: str):
    settings = RoutingSettings.model_validate({"hedge_after": written})
    assert settings.hedge_after == meant
    assert show_hedge_after(settings.hedge_after) == shown


@pytest.mark.parametrize("written", ["automatic", "-1s", "", True])
def test_anything_else_is_no_hedge_after(written: object):
    with pytest.raises(ValidationError, match="must be auto, or a duration"):
        RoutingSettings.model_validate({"hedge_after": written})
