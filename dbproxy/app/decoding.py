"""Everybody's writes by logical decoding: a temporary slot, and its stream (cache.stream)."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence

from dbproxy.app.replication import Line
from dbproxy.cache.publication import NAME, PUBLISHED, read_published
from dbproxy.cache.stream import RUNNING, Follower, Following, spell_slot, spell_start
from dbproxy.errors import ProtocolViolation, ServerUnavailable
from dbproxy.routing.lsn import parse_lsn

PATIENCE = 300.0  # seconds until it must flow: it waits for each transaction that has written before
PAUSE = 0.1  # seconds between two questions who is running


class Decoding:
    """An app.stream.Source; its user has to have REPLICATION."""

    startup: Mapping[str, str] = {"replication": "database"}
    question = PUBLISHED

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.published: frozenset[int] = frozenset()
        self.system = ("", 0)

    async def begin(self, line: Line) -> Following:
        """Make a slot, and have it flow. What is published both before and after that is surely told."""
        slot = f"{NAME}_{secrets.token_hex(8)}"
        try:
            async with asyncio.timeout(PATIENCE):
                identity = await line.ask("IDENTIFY_SYSTEM")
                published = read_published(await line.ask(PUBLISHED))
                made = await line.ask(spell_slot(slot))
                await self.outlast(line)
                self.published = published & read_published(await line.ask(PUBLISHED))
                self.system = (identity[0][0].decode(), int(identity[0][1]))
                following = Following(self.follower, parse_lsn(made[0][1].decode()))
                await line.start(spell_start(slot, NAME), following)
        except TimeoutError:
            raise ServerUnavailable(
                f"the replication slot is not there after {PATIENCE:g} s",
                hint="It waits for transactions that have written: see xact_start in pg_stat_activity.",
            ) from None
        except (ValueError, IndexError):
            raise ProtocolViolation("the server's answer to a replication command makes no sense") from None
        return following

    async def outlast(self, line: Line) -> None:
        """Wait for who may have committed before the slot's first position, but is not seen to have (cache.stream)."""
        _, limit = await self.ask_running(line)
        while (await self.ask_running(line))[0] < limit:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(PAUSE)

    async def ask_running(self, line: Line) -> tuple[int, int]:
        oldest, limit = (await line.ask(RUNNING))[0]
        return int(oldest), int(limit)

    def renew(self, rows: Sequence[Sequence[bytes]]) -> str:
        """Why it has to begin anew, as some writes may not have been told; "" if not."""
        same = read_published(rows) == self.published
        return "" if same else f'the publication "{NAME}" has other tables now'

    def find_followed(self, parents: frozenset[int]) -> frozenset[int]:
        """Tables that are only their partitions are told by these."""
        return self.published | parents
