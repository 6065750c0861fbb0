"""A batch while it runs: stopped by signals, seen as a bar on a terminal, or as a line now and then."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from time import monotonic
from typing import TextIO

from dbproxy.config.units import show_count, show_duration
from dbproxy.jobs.batch.control import PAUSED
from dbproxy.jobs.batch.job import Batch, Moment
from dbproxy.jobs.batch.ledger import Job
from dbproxy.jobs.batch.status import REVISITS
from dbproxy.observe.logs import written_to
from dbproxy.observe.printable import clean

REDRAWN = 0.2  # seconds
WIDTH = 40  # of a bar
CLEAR = "\r\x1b[K"  # of a terminal: the line is empty
ONE_LINE = "\x1b[?7l"  # what is too long for a line is cut off there
MANY_LINES = "\x1b[?7h"  # it goes on below
TOLD = 10.0  # seconds between lines where there is no terminal


async def run_watched(batch: Batch, screen: TextIO) -> Job:
    """As `Batch.run`; SIGINT and SIGTERM stop it after its chunk, the second one at once."""
    drawn = screen.isatty() and os.environ.get("TERM") != "dumb"
    watching = asyncio.create_task(draw(batch, screen) if drawn else write(batch, screen))
    try:
        with stopped_by_signals(batch.stop):
            return await batch.run()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    heard: list[int] = []

    def hear(number: int) -> None:
        heard.append(number)
        if len(heard) > 1:
            task.cancel()
        else:
            stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def draw(batch: Batch, screen: TextIO) -> None:
    with written_to(Above(screen)):
        try:
            while True:
                moment = batch.look(monotonic())
                line = f"{batch.name or 'batch'} {draw_bar(moment.progress.ratio)} {describe(moment)}"
                screen.write(f"{CLEAR}{ONE_LINE}{clean(line)}{MANY_LINES}")
                screen.flush()
                await asyncio.sleep(REDRAWN)
        finally:
            screen.write(CLEAR)
            screen.flush()


class Above(StringIO):
    """Where lines of the log go meanwhile: in the bar's place, which comes again below them."""

    def __init__(self, screen: TextIO) -> None:
        super().__init__()
        self.screen = screen

    def write(self, line: str, /) -> int:
        return self.screen.write(f"{CLEAR}{line}")

    def flush(self) -> None:
        self.screen.flush()


def draw_bar(ratio: float) -> str:
    done = int(ratio * WIDTH)
    return f"[{'#' * done}{'.' * (WIDTH - done)}]"


async def write(batch: Batch, screen: TextIO) -> None:
    told, before = 0.0, ("", False)
    while True:
        now, moment = monotonic(), batch.look(monotonic())
        progress, does = moment.progress, (moment.waits_for, moment.revisits)
        if (progress.total or progress.seen) and (now - told >= TOLD or does != before):
            print(clean(f"{batch.name}: {describe(moment)}"), file=screen, flush=True)
            told, before = now, does
        await asyncio.sleep(REDRAWN)


def describe(moment: Moment) -> str:
    """On a line."""
    progress = moment.progress
    words = [f"{progress.seen} seen"] if progress.seen else []  # of a pipe nobody knows how many come
    if progress.total:
        words = [f"{progress.ratio:.0%}", f"{progress.seen} of about {progress.total}"]
    if progress.speed:
        words.append(f"{progress.speed:.0f}/s")
    if progress.eta is not None:
        words.append(f"{show_duration(round(progress.eta))} left")
    if moment.revisits:
        words.append(REVISITS)
    if moment.errors:
        words.append(show_count(moment.errors, "error"))
    if moment.waits_for:
        words.append(moment.waits_for if moment.waits_for == PAUSED else f"waits for {moment.waits_for}")
    return ", ".join(words)
