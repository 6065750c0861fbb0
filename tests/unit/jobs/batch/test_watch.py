"""A batch on a terminal."""

import asyncio
import io
import re

import pytest
import structlog

from dbproxy.jobs.batch.job import Moment
from dbproxy.jobs.batch.watch import CLEAR, MANY_LINES, ONE_LINE, describe, draw, write
from dbproxy.jobs.progress import Progress
from dbproxy.observe.logs import configure

SPELLED = r"server: no\nspace \x1b[2J"


class Looked:
    """Of a batch what the bar looks at; `now`: what it sees."""

    name = "b"

    def __init__(self) -> None:
        self.looked = asyncio.Event()

    def look(self, now: float) -> Moment:
        self.looked.set()
        return Moment(waits_for="server: no\nspace \x1b[2J")


@pytest.fixture
def stream() -> io.StringIO:
    found = io.StringIO()
    configure("console", "warning", stream=found)
    return found


async def test_line_of_the_log_stands_above_the_bar(stream: io.StringIO) -> None:
    screen, batch = io.StringIO(), Looked()
    drawing = asyncio.create_task(draw(batch, screen))  # type: ignore[arg-type]  # all that it needs
    await batch.looked.wait()
    structlog.get_logger("dbproxy.jobs").warning("told meanwhile")
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    structlog.get_logger("dbproxy.jobs").warning("told afterwards")
    bar, line, *_ = screen.getvalue().split(CLEAR)[1:]
    assert bar.startswith(f"{ONE_LINE}b [....")
    assert bar.endswith(f"waits for {SPELLED}{MANY_LINES}")
    assert re.fullmatch(r".*told meanwhile.*\n", line)
    assert screen.getvalue().endswith(CLEAR)  # nothing is left of it
    assert "told meanwhile" not in stream.getvalue()
    assert "told afterwards" in stream.getvalue()


async def test_line_where_there_is_no_terminal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, batch = io.StringIO(), Looked()
    monkeypatch.setattr(
        batch, "look", lambda now: Moment(Progress(seen=1), waits_for="server: no\nspace \x1b[2J")
    )
    writing = asyncio.create_task(write(batch, screen))  # type: ignore[arg-type]  # as above
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert screen.getvalue() == f"b: 1 seen, waits for {SPELLED}\n"


def test_nothing_is_said_of_how_far_it_is_before_that_is_known() -> None:
    assert describe(Moment()) == ""
    assert describe(Moment(waits_for="paused")) == "paused"
