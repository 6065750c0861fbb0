"""One connection from its acceptance to its end, or to the client that takes it over."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from dbproxy.auth.client_login import Authenticator
from dbproxy.auth.exchange import KeyCache
from dbproxy.pool.pool import Pool
from dbproxy.routing.router import Router
from dbproxy.session.startup import Login
from dbproxy.wire import build
from tests.support import speech
from tests.unit.admin.house import Transport, settings
from tests.unit.pool.fakes import FakePool
from tests.unit.session.fakes import House, make_server, sent

TRUST = {"DBPROXY_AUTH__TYPE": "trust"}
GARBAGE = b"GET / HTTP/1.1\r\n\r\n"


class Line(Transport):
    """Somebody's, who may be handed over."""

    heir: Any = None

    def set_protocol(self, heir: Any) -> None:
        self.heir = heir


@dataclass
class OpenHouse(House):
    """Lets everybody in, to one pool, whose servers have told all that a login asks for."""

    pool: Pool = field(default_factory=lambda: FakePool(read_functions=False).pool)
    authenticator: Authenticator = field(default_factory=lambda: Authenticator(KeyCache()))
    router: Router | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pool.welcome["server_version"] = "18.1"

    def find_pool(self, database: str, user: str) -> Pool:
        return self.pool

    def find_router(self, database: str, user: str) -> Router | None:
        return self.router

    async def follow_defaults(self, pool: Pool) -> None: ...


@pytest.fixture
def house() -> OpenHouse:
    return OpenHouse(settings(**TRUST))


def connect(house: OpenHouse, *, read_only: bool = False) -> Login:
    login = Login(house, read_only=read_only)
    login.connection_made(Line())  # type: ignore[arg-type]
    return login


async def say(login: Login, data: bytes) -> list[bytes]:
    """What is answered, once nothing more is done about it."""
    task = login.task
    login.data_received(data)
    if task is not None:
        await asyncio.wait([task])
    return speech.split(sent(login))


async def log_in(login: Login, **asked: str) -> list[bytes]:
    return await say(login, build.startup_message({"user": "app", "database": "shop", **asked}))


def kinds(messages: list[bytes]) -> str:
    return "".join(chr(message[0]) for message in messages)


# --- let in ---------------------------------------------------------------------------------------------------


async def test_client_is_told_what_postgresql_tells(house: OpenHouse):
    login = connect(house)
    answer = await log_in(login)
    assert kinds(answer) == "RSKZ"
    assert answer[1] == build.parameter_status("server_version", "18.1")
    assert answer[2] == build.backend_key_data(login.identity.pid, login.identity.key)


async def test_connection_is_the_clients_from_then_on(house: OpenHouse):
    login = connect(house)
    await log_in(login)
    assert login.transport.heir is login.client
    assert login.closed  # for this protocol
    assert not login.transport.closed
    assert list(house.registry) == [login]
    assert house.pool.stats.login_count == 1


async def test_what_came_with_the_login_is_the_clients_first_request(house: OpenHouse):
    server = make_server(house.pool)
    login = connect(house)
    hello = build.startup_message({"user": "app", "database": "shop"})
    await say(login, hello + build.query("SELECT 1"))
    assert sent(server) == build.query("SELECT 1")


async def test_login_may_come_in_pieces(house: OpenHouse):
    login = connect(house)
    hello = build.startup_message({"user": "app", "database": "shop"})
    for byte in hello[:-1]:
        login.data_received(bytes([byte]))
        await asyncio.sleep(0)
    assert login.client is None
    assert kinds(await say(login, hello[-1:])) == "RSKZ"


async def test_encryption_that_is_not_offered_is_declined_and_the_login_goes_on(house: OpenHouse):
    login = connect(house)
    login.data_received(build.ssl_request())
    await asyncio.sleep(0)
    assert sent(login) == b"N"
    assert kinds(await log_in(login)) == "RSKZ"


async def test_name_of_the_application_is_what_it_says(house: OpenHouse):
    login = connect(house)
    answer = await log_in(login, application_name="shop")
    assert build.parameter_status("application_name", "shop") in answer
    assert login.identity.settings.values == {"application_name": "shop"}
    assert login.identity.describe()["application_name"] == "shop"


async def test_client_of_the_read_only_entry_is_told_so(house: OpenHouse):
    asked = house.pool.tenant.parameter_sets.find({"default_transaction_read_only": "on"})
    asked.reported = {}  # as a server has said
    login = connect(house, read_only=True)
    answer = await log_in(login)
    assert build.parameter_status("default_transaction_read_only", "on") in answer
    assert login.identity.settings is asked


async def test_protocol_options_that_are_not_known_are_told(house: OpenHouse):
    answer = await log_in(connect(house), **{"_pq_.unheard_of": "1"})
    assert kinds(answer) == "vRSKZ"


# --- not let in -----------------------------------------------------------------------------------------------


async def refused(login: Login, **asked: str) -> str:
    """The error's SQLSTATE, which ends the connection."""
    answer = await log_in(login, **asked)
    assert kinds(answer) == "E"
    assert b"SFATAL" in answer[0]
    assert login.transport.closed
    assert len(login.house.registry) == 0
    (sqlstate,) = login.house.registry.login_failures
    return sqlstate


async def test_wrong_password_is_refused(house: OpenHouse):
    house.settings = settings(DBPROXY_AUTH__TYPE="md5")
    hello = build.startup_message({"user": "app", "database": "shop"})
    answer = await say(connect(house), hello + build.password_message("wrong"))
    assert kinds(answer) == "RE"
    assert house.registry.login_failures == {"28P01": 1}


async def test_replication_is_refused(house: OpenHouse):
    assert await refused(connect(house), replication="database") == "0A000"


async def test_nobody_is_let_in_while_the_proxy_stops(house: OpenHouse):
    house.stopping = True
    assert await refused(connect(house)) == "57P01"


async def test_nobody_is_let_in_over_the_limit_but_administrators(house: OpenHouse):
    house.settings = settings(**TRUST, DBPROXY_POOL__MAX_CLIENT_CONN="1")
    await log_in(connect(house))
    extra = connect(house)
    assert kinds(await log_in(extra)) == "E"
    assert house.registry.login_failures == {"53300": 1}
    assert kinds(await log_in(connect(house), user="admin")) == "RSKZ"


async def test_console_is_for_those_who_are_listed(house: OpenHouse):
    assert await refused(connect(house), database="pgbouncer") == "42501"


async def test_bug_of_ours_tells_nothing(house: OpenHouse, monkeypatch: pytest.MonkeyPatch):
    def bug(*_: object) -> Pool:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(house, "find_pool", bug)
    assert await refused(connect(house)) == "XX000"


# --- who says nothing, or nonsense ----------------------------------------------------------------------------


async def test_what_is_no_login_is_not_answered(house: OpenHouse):
    login = connect(house)
    assert await say(login, GARBAGE) == []
    assert login.transport.closed
    assert len(house.registry) == 0


async def test_who_leaves_without_a_word_is_forgotten_without_a_line(house: OpenHouse):
    login = connect(house)
    task = login.task
    login.connection_lost(None)
    await asyncio.wait([task])
    assert login.why_lost() == ""
    assert len(house.registry) == 0
    assert not house.registry.login_failures


async def test_cancel_request_ends_its_connection(house: OpenHouse):
    login = connect(house)
    assert await say(login, build.cancel_request(7, b"key!")) == []
    assert house.cancelled == [7]
    assert login.transport.closed
