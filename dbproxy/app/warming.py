"""Kept answers that are fetched before anybody asks: two at a time, and only while few of a pool's servers are lent."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic

import structlog

from dbproxy.app.cache import Caches
from dbproxy.cache.entry import Entry
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.key import PREFIX
from dbproxy.cache.warming import (
    KINDS,
    Errant,
    Session,
    Statement,
    begin,
    find_hottest,
    is_outdated,
    read_key,
    read_statement,
    write_statement,
)
from dbproxy.config.cache import CacheSettings
from dbproxy.errors import ProxyError
from dbproxy.features.mode import ON
from dbproxy.pool.errand import Errand
from dbproxy.pool.fetch import Fetch
from dbproxy.pool.pool import Pool

log = structlog.get_logger(__name__)

FILE = "cache-hottest.jsonl"
HOTTEST = 200  # statements that are remembered
WORKERS = 2
TICK = 0.1  # seconds from one look at what is out of date to the next
PAUSE = 0.05  # while a pool is needed by its clients
LEARN = 30.0  # seconds from one look at what is hot to the next; then it is written down
TURN = 2000  # entries that are looked at in one go
RETRY = 1.0  # after no server could be had
PATIENCE = 60.0  # seconds that a statement waits for its turn


class Warmer:
    """Of the whole proxy. `run` is a task of the slow lane."""

    def __init__(
        self,
        caches: Caches,
        find_pool: Callable[[str, str], Pool],
        read_settings: Callable[[], CacheSettings],
    ) -> None:
        self.caches = caches
        self.find_pool = find_pool
        self.read_settings = read_settings
        self.hottest: list[Entry] = []
        self.hits: dict[bytes, int] = {}  # of what was fetched again, by then
        self.queue: deque[tuple[Statement, float]] = deque()  # until when each waits
        self.wanted = asyncio.Event()

    async def run(self) -> None:
        self.load()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(self.work())
            tasks.create_task(self.watch())

    async def refresh(self) -> None:
        """Have all of the file and what is hottest fetched, where it is not kept now."""
        await self.learn()
        hottest = [statement for entry in self.hottest for statement in self.name(entry)]
        self.put([*hottest, *await asyncio.to_thread(read_file, self.read_settings().warm_file)])

    async def stop(self) -> None:
        """What is hottest by now is remembered."""
        settings = self.read_settings()
        if settings.warming and settings.state_dir:
            await self.learn()
            await self.write(settings.state_dir)

    # --- what is to be fetched ---

    def load(self) -> None:
        """What was written down, if that is to be fetched."""
        settings = self.read_settings()
        if settings.warming:
            folder = settings.state_dir
            remembered = Path(folder) / FILE if folder else None
            self.put([*read_file(remembered, missing_ok=True), *read_file(settings.warm_file)])

    def put(self, statements: Iterable[Statement]) -> None:
        until = monotonic() + PATIENCE
        self.queue.extend((statement, until) for statement in statements)
        self.wanted.set()

    async def watch(self) -> None:
        learns_at = monotonic() + LEARN
        while True:
            await asyncio.sleep(TICK)
            settings = self.read_settings()
            if not settings.warming:
                continue
            if monotonic() >= learns_at or not self.hottest:
                await self.learn()
                if monotonic() >= learns_at:
                    learns_at = monotonic() + LEARN
                    await self.write(settings.state_dir)
            self.put(self.find_outdated(settings.refresh_hot))

    async def learn(self) -> None:
        """Which are hottest; a few entries at a time."""
        hottest: list[Entry] = []
        entries = list(self.caches.memory.entries.values())
        for at in range(0, len(entries), TURN):
            hottest = find_hottest([*hottest, *entries[at : at + TURN]], HOTTEST)
            await asyncio.sleep(0)
        self.hottest = hottest
        self.hits = {entry.key: self.hits[entry.key] for entry in hottest if entry.key in self.hits}

    def find_outdated(self, number: int) -> list[Statement]:
        """The hottest that a write has ended, and all whose database was forgotten, if used since they were fetched."""
        found: list[Statement] = []
        for rank, one in enumerate(self.hottest):
            entry = self.caches.memory.find(one.key)
            if entry is None or entry.hits <= self.hits.get(entry.key, 0) or not is_outdated(entry):
                continue
            if rank >= number and entry.moment.whole == entry.moment.fence.whole.generation:
                continue
            self.hits[entry.key] = entry.hits
            found += self.name(entry)
        return found

    def name(self, entry: Entry) -> Iterator[Statement]:
        for gate in self.caches.gates.values():
            settings = gate.keyring.known.get(entry.key[:PREFIX])
            if settings is not None:
                yield read_key(entry.key, gate.database, gate.user, settings)
                return

    async def write(self, folder: str) -> None:
        """For the next start."""
        statements = [statement for entry in self.hottest for statement in self.name(entry)]
        if not folder or not statements:
            return
        try:
            await asyncio.to_thread(write_file, Path(folder), statements)
        except OSError as error:
            log.warning(
                "hottest statements not written",
                folder=folder,
                error=error.strerror or str(error),
                hint="cache.state_dir must be a folder that the proxy can write to",
            )

    # --- fetching ---

    async def work(self) -> None:
        while True:
            while not self.queue:
                self.wanted.clear()
                await self.wanted.wait()
            statement, until = self.queue.popleft()
            try:
                await self.fetch(statement, until)
            except ProxyError as error:
                log.debug(
                    "not fetched", database=statement.database, user=statement.user, error=error.message
                )
            except Exception:
                log.exception("internal error", during="warming", database=statement.database)

    async def fetch(self, statement: Statement, until: float) -> None:
        while True:
            pool = self.find_pool(statement.database, statement.user)  # one that nobody uses is forgotten
            gate = self.caches.gates.get((pool.database, pool.user))
            if gate is None or gate.feature.treated.mode != ON or monotonic() > until:
                return
            if is_ready(gate) and is_calm(pool):
                break
            await open_one(pool)
            await asyncio.sleep(PAUSE)
        settings = pool.tenant.parameter_sets.find(dict(statement.settings))
        standard = settings.values.get(
            "standard_conforming_strings", pool.welcome.get("standard_conforming_strings")
        )
        shape = pool.tenant.classifier.find(statement.text, standard == "off")
        request = Errant(statement, shape)
        fill = begin(gate, request, Session(settings))
        if fill is not None:
            await Fetch(pool).fetch(KINDS, request.messages, settings, fill)


async def open_one(pool: Pool) -> None:
    """Where nobody has come yet: a database that nobody uses is not looked at, so that nothing would be kept."""
    if not pool.size() and not len(pool.waiting) and not pool.paused:
        try:
            await Errand(pool).run("SELECT 1")
        except ProxyError:
            await asyncio.sleep(RETRY)


def is_ready(gate: CacheGate) -> bool:
    """Whether what is fetched now would be kept."""
    fence = gate.cases.fence
    return fence.knows() and not fence.whole.committing and fence.followed != frozenset()


def is_calm(pool: Pool) -> bool:
    """Whether nobody waits there, and less than half of it is lent; a pool that is empty opens one."""
    lent, size = len(pool.active), pool.size()
    return (
        not pool.paused
        and not len(pool.waiting)
        and 2 * lent < pool.settings.size
        and (size == 0 or bool(pool.idle))
    )


def read_file(path: Path | str | None, *, missing_ok: bool = False) -> list[Statement]:
    """Each line that is no statement is told, and left out."""
    if not path:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        if not (missing_ok and isinstance(error, FileNotFoundError)):
            log.warning("statements to fetch not read", file=str(path), error=str(error))
        return []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                found.append(read_statement(line))
        except ValueError as error:
            log.warning("statements to fetch not read", file=str(path), line=number, error=str(error))
    return found


def write_file(folder: Path, statements: Iterable[Statement]) -> None:
    """OSError if it cannot be. Its owner alone may read it: it has parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.tmp"
    text = "".join(f"{write_statement(statement)}\n" for statement in statements)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(folder / FILE)
