"""One connection from its acceptance to its end, or to the client that takes it over."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from dbproxy.app.admissions import Admissions
from dbproxy.auth.exchange import KeyCache
from dbproxy.pool.pool import Pool
from dbproxy.routing.router import Router
from dbproxy.session.identity import Identity
from dbproxy.session.replication import Replication, Walsender
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
    router: Router | None = None
    streams: list[dict[str, str]] = field(default_factory=list)
    opened: "asyncio.Future[Walsender] | None" = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pool.welcome["server_version"] = "18.1"

    @property
    def admissions(self) -> Admissions:
        """As `settings` are now."""
        return Admissions(self.settings, KeyCache(), lambda *_: self.pool, spawn)

    def find_pool(self, database: str, user: str) -> Pool:
        return self.pool

    def find_router(self, database: str, user: str) -> Router | None:
        return self.router

    def follow_defaults(self, pool: Pool, then: Callable[[], None]) -> bool:
        return False

    async def open_walsender(self, identity: Identity, parameters: Mapping[str, str]) -> Walsender:
        self.streams.append(dict(parameters))
        walsender = Walsender()
        walsender.connection_made(Line())  # type: ignore[arg-type]
        walsender.backend.parameters["server_version"] = "18.1"
        if self.opened is not None:
            self.opened.set_result(walsender)
        return walsender


def spawn(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(work)


@pytest.fixture
def house() -> OpenHouse:
    return OpenHouse(settings(**TRUST))


def connect(house: OpenHouse, *, read_only: bool = False) -> Login:
    login = Login(house, read_only=read_only)
    login.connection_made(Line())  # type: ignore[arg-type]
    return login


async def say(login: Login, data: bytes) -> list[bytes]:
    """What is answered, once nothing more is done about it."""
    login.data_received(data)
    while login.conversation is not None and not login.conversation.over:  # noqa: ASYNC110 - has no event
        await asyncio.sleep(0)
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
    answer = await say(connect(house), hello + build.authentication_response(b"wrong\0"))
    assert kinds(answer) == "RE"
    assert house.registry.login_failures == {"28P01": 1}


async def test_replication_gets_a_server_of_its_own_and_what_that_says_of_itself(house: OpenHouse):
    login = connect(house)
    answered = await log_in(login, replication="database", application_name="copy")
    assert house.streams == [{"replication": "database", "application_name": "copy"}]
    assert kinds(answered) == "RSKZ"
    assert isinstance(login.heir, Replication)
    login.heir.data_received(b"some command")
    assert login.heir.walsender.transport.written == b"some command"  # type: ignore[union-attr]


async def test_server_that_was_opened_for_a_client_that_has_gone_is_closed(house: OpenHouse):
    login = connect(house)
    opened = house.opened = asyncio.get_running_loop().create_future()
    login.data_received(build.startup_message({"user": "app", "database": "shop", "replication": "true"}))
    while not opened.done():  # noqa: ASYNC110 - in a task
        await asyncio.sleep(0)
    login.connection_lost(None)  # before it has heard of it
    assert opened.result().closed
    assert login.heir is None


async def test_server_that_leaves_before_its_client_is_let_in_is_told(house: OpenHouse):
    login = connect(house)
    house.opened = asyncio.get_running_loop().create_future()
    house.opened.add_done_callback(lambda opened: opened.result().connection_lost(None))
    answered = await log_in(login, replication="true")
    assert kinds(answered) == "E"
    assert house.registry.login_failures == {"08001": 1}


async def test_replication_counts_for_the_limits_on_clients(house: OpenHouse):
    house.settings = settings(**TRUST, DBPROXY_POOL__MAX_DB_CLIENT_CONNECTIONS="1")
    first = connect(house)
    await log_in(first, replication="database")
    assert house.registry.databases["shop"] == 1
    answer = await log_in(connect(house), replication="true")
    assert kinds(answer) == "E"
    assert house.registry.login_failures == {"53300": 1}
    assert len(house.streams) == 1


async def test_nobody_is_let_in_while_the_proxy_stops(house: OpenHouse):
    house.stopping = True
    assert await refused(connect(house)) == "57P01"


async def test_nobody_is_let_in_over_the_limit_nor_refused_by_it_on_the_console(house: OpenHouse):
    house.settings = settings(**TRUST, DBPROXY_POOL__MAX_CLIENT_CONN="1")
    await log_in(connect(house))
    extra = connect(house)
    assert kinds(await log_in(extra)) == "E"
    assert house.registry.login_failures == {"53300": 1}
    assert kinds(await log_in(connect(house), user="admin")) == "E"
    await log_in(connect(house), database="pgbouncer")
    assert house.registry.login_failures == {"53300": 2, "42501": 1}


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
    login.connection_lost(None)
    assert login.why_lost() == ""
    assert len(house.registry) == 0
    assert not house.registry.login_failures


async def test_cancel_request_ends_its_connection(house: OpenHouse):
    login = connect(house)
    assert await say(login, build.cancel_request(7, b"key!")) == []
    assert house.cancelled == [7]
    assert login.transport.closed


# --- first contact ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "reason"), [("app", "the password is wrong"), ("nobody", "there is no such user")]
)
async def test_unknown_user_is_told_from_a_wrong_password_in_the_log_and_to_nobody_else(
    user: str, reason: str
):
    house = OpenHouse(settings(DBPROXY_AUTH__TYPE="md5"))
    login = connect(house)
    login.data_received(build.startup_message({"user": user, "database": "shop"}))
    while not sent(login):  # noqa: ASYNC110  # a few turns of the loop
        await asyncio.sleep(0)
    with structlog.testing.capture_logs() as lines:
        [*_, answer] = await say(login, b"p" + (9).to_bytes(4, "big") + b"nope\0")
    assert answer[:1] == b"E"
    assert f'password authentication failed for user "{user}"'.encode() in answer
    assert reason.encode() not in answer
    [line] = [line for line in lines if line["event"] == "client refused"]
    assert line["detail"].startswith(reason)
