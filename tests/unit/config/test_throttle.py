"""[batch.throttle], and how changes of one batch come over it."""

from datetime import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from dbproxy.config.batch import BatchSettings
from dbproxy.config.load import load
from dbproxy.config.mistakes import advise
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.errors import ConfigurationError


@pytest.mark.parametrize(
    "words",
    [
        {"window": "two to six"},
        {"window": "02:00-02:00"},
        {"window": "02:00-25:00"},
        {"window": "02:61-03:00"},
        {"timezone": "Europe/Atlantis"},
        {"timezone": "../etc/passwd"},
        {"proxy": "10.0.0.5:9127"},
        {"nice_ratio": -1},
        {"max_lag": "soon"},
        {"max_lags": "1s"},
    ],
)
def test_what_means_nothing_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ThrottleSettings.model_validate(words)


def test_hours_are_those_of_the_time_zone() -> None:
    tokyo, here = ThrottleSettings(timezone="Asia/Tokyo").tell_time(), ThrottleSettings().tell_time()
    offset = tokyo.utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 9 * 3600
    assert here.tzinfo is not None


def test_keys_of_the_table_within_come_over_one_by_one() -> None:
    first = BatchSettings().overlay({"throttle.max_lag": "3s", "chunk_size": "500"})
    assert (first.throttle.max_lag, first.throttle.max_wal, first.chunk_size) == (3.0, 64 << 20, 500)
    second = first.overlay({"throttle.enabled": "false", "throttle.nice_ratio": "0.5"})
    assert (second.throttle.max_lag, second.throttle.enabled, second.throttle.nice_ratio) == (3.0, False, 0.5)


def test_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        BatchSettings().overlay({"throttle.max_lags": "3s"})
    with pytest.raises(ValidationError):
        BatchSettings().overlay({"chunk_size.max": "3"})


def test_each_is_read_from_a_table_of_its_own_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "dbproxy.toml"
    file.write_text('[batch]\nchunk_size = 500\n[batch.throttle]\nmax_lag = "2s"\nwindow = "22:00-06:00"\n')
    found = load(
        file, {"DBPROXY_BATCH__THROTTLE__MAX_WAL": "16MiB"}, {"batch.throttle.nice_ratio": "0.5"}
    ).batch
    throttle = found.throttle
    assert (found.chunk_size, throttle.max_lag, throttle.max_wal, throttle.nice_ratio) == (
        500,
        2.0,
        16 << 20,
        0.5,
    )
    assert throttle.hours == ((time(22), time(6)),)


def test_mistake_names_the_key() -> None:
    with pytest.raises(
        ConfigurationError, match=r'batch.throttle.window = "nights": must be hours of the day'
    ):
        load(None, {"DBPROXY_BATCH__THROTTLE__WINDOW": "nights"})
    with pytest.raises(ConfigurationError, match=r"did you mean batch.throttle.max_lag"):
        load(None, {}, {"batch.throttle.max_laag": "1s"})


def test_key_that_is_none_is_said_in_plain_words():
    with pytest.raises(ValidationError) as raised:
        BatchSettings().overlay({"throttle.lag": "5s"})
    assert advise(raised.value.errors()[0]) == "there is no such key"


def test_password_of_a_proxy_is_refused_before_it_is_kept():
    with pytest.raises(ValidationError, match="without a user"):
        BatchSettings().overlay({"throttle.proxy": "http://me:hidden@proxy:9127"})
    assert BatchSettings().overlay({"throttle.proxy": "http://proxy:9127/@"}).throttle.proxy
