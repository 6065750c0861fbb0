"""What was read is handed out again until the ledger is past it, and only of the same input."""

import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch import intake as module
from dbproxy.jobs.batch.intake import Intake, Place, read_place
from dbproxy.jobs.batch.records import Splitter
from dbproxy.jobs.batch.stream import BLOCK, Stream

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
CONTENT = b"".join(b'%d,"x\ny"\n' % number for number in range(50_000))


BEGIN = Place()
Start = Callable[..., Awaitable[Intake]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started = []

    async def start(path: Path | str, content: bytes = CONTENT) -> Intake:
        if isinstance(path, Path):
            await asyncio.to_thread(path.write_bytes, content)
        intake = Intake(Stream(str(path)), Splitter('"', '"'))
        await intake.stream.open()
        started.append(intake)
        return intake

    yield start
    for intake in started:
        await intake.close()


async def read_all(intake: Intake, records: int, place: Place = BEGIN) -> list[bytes]:
    found = []
    while await intake.go_to(place) and await intake.gather(records):
        content, _, place = intake.take(records)
        if not content:
            break
        found.append(content)
    return found


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
async def test_all_is_read_in_chunks_of_whole_records(start: Start, tmp_path: Path, pack):
    packed = pack(CONTENT[: len(CONTENT) // 2]) + pack(CONTENT[len(CONTENT) // 2 :])  # of two members
    chunks = await read_all(await start(tmp_path / "a.csv", packed), 700)
    assert b"".join(chunks) == CONTENT
    assert {chunk.count(b"\n") for chunk in chunks[:-1]} == {1400}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
async def test_what_was_done_is_skipped(start: Start, tmp_path: Path, pack):
    chunks = await read_all(await start(tmp_path / "a.csv", pack(CONTENT)), 700)
    done = b"".join(chunks[:40])
    place = Place().behind(done)
    assert read_place(place.cursor) == place
    assert (place.offset, place.line) == (len(done), 40 * 1400)
    assert await read_all(await start(tmp_path / "a.csv", pack(CONTENT)), 700, place) == chunks[40:]


async def test_chunk_is_handed_out_again_while_the_ledger_is_before_it(start: Start, tmp_path: Path):
    intake = await start(tmp_path / "a.csv")
    assert await intake.go_to(Place())
    assert await intake.gather(100)
    content, records, end = intake.take(100)
    assert records == 100
    assert intake.take(100) == (content, records, end)
    half, records, middle = intake.take(50)
    assert (records, content.startswith(half)) == (50, True)
    assert await intake.go_to(middle)
    assert await intake.gather(50)
    assert half + intake.take(50)[0] == content


async def test_next_chunk_is_read_while_the_last_one_is_carried_out_but_no_more(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "CHUNK", 100_000)
    intake = await start(tmp_path / "a.csv")
    await intake.gather(700)
    content, _, end = intake.take(700)
    intake.read_on(50_000)
    assert intake.ahead is not None
    await intake.ahead
    assert 100_000 <= len(intake.data) < 100_000 + BLOCK
    assert await intake.go_to(end)
    assert await intake.gather(700)
    assert CONTENT.startswith(content + intake.take(700)[0])


@pytest.mark.parametrize("waits", [False, True], ids=["read on", "reading on"])
async def test_chunk_that_was_read_behind_is_handed_out_again(start: Start, tmp_path: Path, waits: bool):
    intake = await start(tmp_path / "a.csv")
    await intake.gather(700)
    intake.take(700)
    for place in (BEGIN, Place().behind(CONTENT[:4_000])):  # of a chunk that failed, and of half of one
        intake.read_on(700)
        assert intake.ahead is not None
        if waits:
            await intake.ahead
        assert await intake.go_to(place)
        assert await intake.gather(700)
        content, records, _ = intake.take(700)
        assert (records, CONTENT[place.offset :].startswith(content)) == (700, True)


async def test_what_is_wrong_behind_a_chunk_is_told_once_that_is_done(start: Start, tmp_path: Path):
    packed = gzip.compress(CONTENT)
    intake = await start(tmp_path / "a.csv", packed[: len(packed) // 2])
    await intake.gather(10)
    end = intake.take(10)[2]
    for place in (BEGIN, end):  # it is carried out again, and then done
        intake.read_on(50_000)
        assert intake.ahead is not None
        await asyncio.wait({intake.ahead})
        assert await intake.go_to(place)
        with pytest.raises(JobFailed, match="cannot be read further"):
            await intake.gather(50_000)
        intake.take(10)


async def test_ledger_that_is_behind_has_the_file_read_anew(start: Start, tmp_path: Path):
    intake = await start(tmp_path / "a.csv")
    await intake.gather(100)
    content, _, end = intake.take(100)
    assert await intake.go_to(end)
    await intake.gather(10_000)
    assert await intake.go_to(intake.take(10_000)[2])
    assert await intake.go_to(end)
    assert await intake.gather(10)
    assert intake.take(10)[0] == CONTENT[len(content) :][: len(intake.take(10)[0])]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (CONTENT.replace(b"7,", b"8,", 1), "what comes before it has changed"),
        (CONTENT[:300], "it ends before that"),
        (b"0" + CONTENT, "what comes before it has changed"),
    ],
)
async def test_another_input_is_not_gone_on_with(start: Start, tmp_path: Path, content: bytes, why: str):
    place = Place().behind(CONTENT[:500])
    with pytest.raises(JobFailed, match=why):
        await read_all(await start(tmp_path / "a.csv", content), 10, place)


async def test_last_line_without_a_newline_is_a_record(start: Start, tmp_path: Path):
    assert await read_all(await start(tmp_path / "a.csv", b"a\nb"), 10) == [b"a\nb"]
    assert await read_all(await start(tmp_path / "b.csv", b"a\nb"), 1) == [b"a\n", b"b"]
    assert await read_all(await start(tmp_path / "c.csv", b""), 1) == []


async def test_record_that_does_not_end_is_told_by_its_line(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LONGEST", 1 << 20)
    intake = await start(tmp_path / "a.csv", b'a\nb\n"c\n' + b"d\n" * (1 << 20))
    with pytest.raises(JobFailed, match="line 3"):
        await read_all(intake, 2)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
async def test_packed_file_that_is_cut_off_fails_after_what_it_has(start: Start, tmp_path: Path, pack):
    content = os.urandom(1 << 20).replace(b'"', b"'")
    with pytest.raises(JobFailed, match="cannot be read further"):
        await read_all(await start(tmp_path / "a.csv", pack(content)[: 1 << 19]), 10)


async def test_file_that_is_not_there_is_refused(start: Start, tmp_path: Path):
    with pytest.raises(JobRefused, match="No such file"):
        await start(str(tmp_path / "none.csv"))


async def test_slow_pipe_gives_what_it_has(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    os.mkfifo(tmp_path / "pipe")
    opening = asyncio.create_task(start(str(tmp_path / "pipe")))
    writer = await asyncio.to_thread(open, tmp_path / "pipe", "wb", 0)
    with writer:
        writer.write(b"abcd\nef")
        intake = await opening
        while not await intake.gather(100):
            pass
        content, records, end = intake.take(100)
        assert (content, records) == (b"abcd\n", 1)
        assert await intake.go_to(end)
        assert not await intake.gather(100)
        writer.write(b"gh\n")
        while not await intake.gather(100):
            pass
        assert intake.take(100)[0] == b"efgh\n"


async def test_whatever_it_cannot_be_opened_for_is_told_who_waits():
    with pytest.raises(ValueError, match="null byte"):
        async with asyncio.timeout(10):
            await Stream("a\0b").open()


def test_pipe_that_is_silent_from_its_beginning_holds_up_nobody_who_ends():
    """Neither the loop waits for it as it closes, nor Python as it exits."""
    code = (
        "import asyncio; from dbproxy.jobs.batch.stream import Stream\n"
        "try: asyncio.run(asyncio.wait_for(Stream('-').open(), 0.01))\n"
        "except TimeoutError: print('ended')"
    )
    silent, writer = os.pipe()
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code], stdin=silent, capture_output=True, text=True, timeout=30, check=True
        )
    finally:
        os.close(silent)
        os.close(writer)
    assert ran.stdout == "ended\n"
