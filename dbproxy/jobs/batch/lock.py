"""The lock of a batch, and the line that has it: by this the ledger is asked, and what others say is heard."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg
import structlog

from dbproxy.errors import JobFailed, JobRuns, ServerUnavailable
from dbproxy.jobs.batch import ledger
from dbproxy.jobs.batch.ledger import State
from dbproxy.jobs.batch.retries import rest
from dbproxy.jobs.batch.session import settle
from dbproxy.jobs.primary import LOST, Connection, Primary, answered

log = structlog.get_logger(__name__)
Words = ParamSpec("Words")
Answer = TypeVar("Answer")

TIMEOUT = 10.0  # seconds for the ledger's answer


class Lock:
    """One for each process that works on a batch; `hear` is called when somebody has said something to it."""

    def __init__(self, primary: Primary, batch: str, hear: Callable[[], None]) -> None:
        self.primary = primary
        self.batch = batch
        self.hear = hear
        self.connection: Connection = None
        self.backend = 0  # the process id of its server
        self.turn = asyncio.Lock()  # of who asks

    async def take(self) -> None:
        """JobRuns if somebody else has it."""
        connection = await self.primary.connect(f"dbproxy batch {self.batch}")
        try:
            with answered(connection, TIMEOUT):
                if not await ledger.lock(connection, self.batch):
                    job = await ledger.find(connection, self.batch)
                    who = f" (pid {job.pid}, host {job.host})" if job is not None and job.pid else ""
                    raise JobRuns(f"batch {self.batch} is already running{who}")
                await ledger.start(connection, self.batch, socket.gethostname(), os.getpid())
                await settle(connection)
                await connection.add_listener(ledger.CHANNEL, self.notified)
        except BaseException:
            connection.terminate()
            raise
        self.connection, self.backend = connection, connection.get_server_pid()

    async def retake(self) -> None:
        """After its line was lost, which the server may not have noticed yet: then that still has the lock."""
        for tries in range(8):
            try:
                return await self.take()
            except JobRuns:
                await self.end_old()
                await rest(tries)
        return await self.take()

    async def end_old(self) -> None:
        connection = await self.primary.connect(f"dbproxy batch {self.batch}")
        try:
            with answered(connection, TIMEOUT):
                if await ledger.find_holder(connection, self.batch) == self.backend:
                    await connection.execute("SELECT pg_terminate_backend($1)", self.backend)
        finally:
            connection.terminate()

    def notified(self, _connection: Any, _pid: int, _channel: str, batch: str) -> None:
        if batch == self.batch:
            self.hear()

    async def ask(
        self,
        question: Callable[Concatenate[Connection, Words], Awaitable[Answer]],
        *words: Words.args,
        **named: Words.kwargs,
    ) -> Answer:
        """Once, by this line or by another that has the lock then."""
        async with self.turn:
            if self.connection is None or self.connection.is_closed():
                await self.retake()
            try:
                with answered(self.connection, TIMEOUT):
                    return await question(self.connection, *words, **named)
            except BaseException:
                self.drop()
                raise

    def drop(self) -> None:
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None

    async def release(self, state: State, reason: str = "") -> None:
        """The batch is over, or will be resumed: say so, if that can be."""
        if self.connection is None or self.connection.is_closed():
            return
        try:
            await self.ask(ledger.finish, self.batch, state, reason)
        except (asyncpg.PostgresError, ServerUnavailable, JobFailed, *LOST):
            log.warning("batch did not note its end", batch=self.batch, state=state)
        self.drop()
