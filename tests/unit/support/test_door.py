"""A test's own server leaves no socket open for the garbage collector, whatever moment it ends in."""

import asyncio
import socket

import pytest

from tests.support.door import HOST, Door


async def wait_for_ever(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("turns", range(6))
async def test_connection_that_is_just_being_accepted_is_closed(turns: int):
    door = Door(wait_for_ever)
    door.listen()
    with socket.create_connection((HOST, door.port), timeout=5) as line:
        for _ in range(turns):
            await asyncio.sleep(0)
        await door.end()
        try:
            assert line.recv(1) == b""
        except ConnectionResetError:
            assert not door.writers  # it was never accepted
    assert not door.tasks


async def test_connection_whose_last_bytes_nobody_reads_is_closed():
    said = asyncio.Event()

    async def say_much(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(10_000_000))
        writer.close()
        said.set()

    door = Door(say_much)
    door.listen()
    with socket.create_connection((HOST, door.port)):
        await said.wait()
        await door.end()
        assert door.writers[0].get_extra_info("socket").fileno() < 0
