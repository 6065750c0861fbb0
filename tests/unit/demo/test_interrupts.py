import asyncio
import signal
from collections.abc import Iterator

import pytest

from dbproxy.demo.interrupts import SIGNALS, Interrupts


@pytest.fixture(params=SIGNALS)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """Not ignored: under nohup SIGHUP is, and the tests would wait for it until their time is over."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_signal_raises_in_plain_code(number: signal.Signals):
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_signal_cancels_a_coroutine_which_may_clean_up_undisturbed(number: signal.Signals):
    seen = []

    async def work() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(number)
            await asyncio.sleep(0)
            seen.append("cleaned up")

    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        interrupts.run(work())
    assert seen == ["cleaned up"]


def test_second_signal_does_not_disturb(number: signal.Signals):
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        try:
            signal.raise_signal(number)
        finally:
            for other in SIGNALS:
                signal.raise_signal(other)


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts() as interrupts:
        assert interrupts.run(asyncio.sleep(0, "result")) == "result"
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_what_nohup_asked_for_stays():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
