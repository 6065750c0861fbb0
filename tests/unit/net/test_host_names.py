import asyncio
import socket
from threading import Event
from typing import Any

import pytest

from dbproxy.net import host_names as names
from dbproxy.net.host_names import HostNames, verify_name


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names by address, addresses by name; what was asked for."""
    known: dict[str, Any] = {"10.0.0.1": "web.example", "web.example": ["10.0.0.9", "10.0.0.1"], "asked": []}

    def backwards(address: tuple[str, int], _: int) -> tuple[str, str]:
        known["asked"].append(address[0])
        if address[0] not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return known[address[0]], "0"

    monkeypatch.setattr(socket, "getnameinfo", backwards)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda name, _, **__: [(0, 0, 0, "", (found, 0)) for found in known[name]]
    )
    return known


def test_name_counts_if_it_leads_back(resolver: dict[str, Any]) -> None:
    assert verify_name("10.0.0.1") == "web.example"
    resolver["web.example"] = ["10.0.0.9"]
    assert verify_name("10.0.0.1") == ""
    assert verify_name("10.0.0.2") == ""


async def test_names_are_kept_for_a_while(resolver: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    known = HostNames()
    assert [await known.find("10.0.0.1") for _ in range(3)] == ["web.example"] * 3
    assert await known.find("10.0.0.2") == ""
    assert resolver["asked"] == ["10.0.0.1", "10.0.0.2"]
    monkeypatch.setattr(names, "monotonic", lambda: float("inf"))
    await known.find("10.0.0.1")
    assert resolver["asked"] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]


async def test_names_are_bounded(resolver: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 2)
    known = HostNames()
    for last in range(4):
        await known.find(f"10.0.1.{last}")
    assert list(known.known) == ["10.0.1.2", "10.0.1.3"]


async def test_one_whose_resolver_hangs_holds_up_nobody_however_often_he_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on, asked = Event(), []

    def verify(address: str) -> str:
        asked.append(address)
        if address == "slow":
            goes_on.wait()
        return address

    monkeypatch.setattr(names, "verify_name", verify)
    monkeypatch.setattr(names, "WORKERS", 2)
    known = HostNames()
    waiting = [asyncio.create_task(known.find("slow")) for _ in range(5)]
    await asyncio.sleep(0)
    try:
        assert await known.find("10.0.0.1") == "10.0.0.1"
    finally:
        goes_on.set()
    assert await asyncio.gather(*waiting) == ["slow"] * 5
    assert sorted(asked) == ["10.0.0.1", "slow"]
