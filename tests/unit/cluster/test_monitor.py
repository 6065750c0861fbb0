import asyncio
import errno
import socket
import ssl

import asyncpg
import pytest
from pydantic import SecretStr

from dbproxy.cluster import connection, monitor
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.monitor import Probe
from dbproxy.cluster.questions import NoAnswer
from dbproxy.config import Host
from tests.unit.cluster.hosts import settings

Answer = Finding | BaseException


class Scripted(Probe):
    """Its answers are `script`'s, by the member's name; the last is repeated."""

    script: dict[str, list[Answer]]

    async def renew(self) -> None: ...

    async def ask(self) -> Finding:
        answers = self.script[self.member.name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Answer]]:
    answers: dict[str, list[Answer]] = {"primary": [Finding("primary")]}
    monkeypatch.setattr(Scripted, "script", answers, raising=False)
    monkeypatch.setattr(monitor, "Probe", Scripted)
    return answers


async def until_in(cluster: Cluster, name: str) -> None:
    """Watch the cluster until this member is fit."""
    arrived = asyncio.Event()
    cluster.on_in = lambda member: arrived.set() if member.name == name else None
    watching = asyncio.create_task(cluster.run())
    try:
        await arrived.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("probe")] == []


async def test_every_host_is_probed_and_nothing_runs_on_after_the_stop(script: dict[str, list[Answer]]):
    script["replica1"] = [Finding("replica")]
    cluster = Cluster(settings(1))
    await until_in(cluster, "replica1")


async def test_an_error_of_ours_in_one_probe_ends_neither_it_nor_the_others(script: dict[str, list[Answer]]):
    script["replica1"] = [ZeroDivisionError()]
    script["replica2"] = [ZeroDivisionError(), Finding("replica")]
    await until_in(Cluster(settings()), "replica2")


async def test_a_host_that_a_reload_adds_is_probed(script: dict[str, list[Answer]]):
    script["replica1"] = [Finding("replica")]
    cluster = Cluster(settings(0))
    asyncio.get_running_loop().call_soon(cluster.apply, settings(1), 1.0)
    await until_in(cluster, "replica1")


@pytest.mark.parametrize(
    ("error", "failures", "reason"),
    [
        (ConnectionRefusedError("refused"), 1, "refused"),
        (TimeoutError(), 1, "no answer within 2 s"),
        (
            asyncpg.CannotConnectNowError("the database system is starting up"),
            1,
            "the database system is starting up",
        ),
        (asyncpg.InterfaceError("odd"), 1, "odd"),
        (NoAnswer("nonsense"), 1, "nonsense"),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.5', 5432)"),
            1,
            "Connection refused",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 1, "Name or service not known"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), 1, "certificate verify failed"),
        (asyncpg.InvalidPasswordError("wrong password"), 0, "wrong password"),
        (asyncpg.TooManyConnectionsError("too many clients"), 0, "too many clients"),
        (asyncpg.InvalidCatalogNameError("no such database"), 0, "no such database"),
    ],
)
async def test_who_does_not_answer_has_failed_and_who_lets_nobody_in_has_not(
    script: dict[str, list[Answer]], error: BaseException, failures: int, reason: str
):
    script["primary"] = [error]
    cluster = Cluster(settings(0))
    await Scripted(cluster, cluster.member("primary")).probe()
    assert (cluster.member("primary").health.failures, cluster.member("primary").health.last_error) == (
        failures,
        reason,
    )


class Server:
    """A connection whose server has none of the functions that are named."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.asked: list[str] = []
        self.closed = False

    async def fetchrow(self, question: str) -> tuple[object, ...]:
        self.asked.append(question)
        for name in self.missing:
            if name in question:
                raise asyncpg.UndefinedFunctionError(f"function {name} does not exist")
        return (False, 100, 1, None, True, 0, "")

    def terminate(self) -> None:
        self.closed = True

    def add_termination_listener(self, _: object) -> None: ...
    def remove_termination_listener(self, _: object) -> None: ...


@pytest.mark.parametrize(
    ("missing", "positions"),
    [
        ((), True),
        (("pg_walfile_name",), True),
        (("pg_current_wal_lsn",), False),
        (("pg_current_wal_lsn", "pg_postmaster_start_time"), False),
    ],
)
async def test_a_server_is_asked_for_what_it_can_tell_and_not_again_for_what_it_cannot(
    missing: tuple[str, ...], positions: bool
):
    cluster = Cluster(settings(0))
    probe = Probe(cluster, cluster.member("primary"))
    server = probe.connection = Server(*missing)
    assert (await probe.ask()).positions is positions
    before = len(server.asked)
    assert (await probe.ask()).positions is positions
    assert len(server.asked) == before + 1


async def test_an_error_for_want_of_something_is_not_taken_for_inability():
    cluster = Cluster(settings(0))
    probe = Probe(cluster, cluster.member("primary"))

    class Stopping(Server):
        async def fetchrow(self, question: str) -> tuple[object, ...]:
            raise asyncpg.AdminShutdownError("terminating connection due to administrator command")

    probe.connection = Stopping()
    with pytest.raises(asyncpg.AdminShutdownError):
        await probe.ask()
    assert probe.question == 0


class Doors:
    """What connecting comes to, in turn; the last is repeated. Counts how often it was tried."""

    def __init__(self, *outcomes: Server | BaseException) -> None:
        self.outcomes = list(outcomes)
        self.tried = 0
        self.databases: list[str] = []

    async def connect(self, url: Host, timeout: float, tls: object, name: str) -> Server:  # noqa: ASYNC109  # asyncpg's
        self.tried += 1
        self.databases.append(url.dbname)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


async def probed_once(
    monkeypatch: pytest.MonkeyPatch, *outcomes: Server | BaseException
) -> tuple[Probe, Doors]:
    doors = Doors(*outcomes)
    monkeypatch.setattr(connection, "connect", doors.connect)
    cluster = Cluster(settings(0))
    probe = Probe(cluster, cluster.member("primary"))
    await probe.probe()
    return probe, doors


async def test_a_connection_is_kept_for_the_interval_then_replaced(monkeypatch: pytest.MonkeyPatch):
    first, second = Server(), Server()
    probe, doors = await probed_once(monkeypatch, first, second)
    await probe.probe()
    assert (doors.tried, probe.connection) == (1, first)
    probe.opened_at -= probe.health.interval
    await probe.probe()
    assert (doors.tried, probe.connection, first.closed) == (2, second, True)


async def test_after_a_failure_was_reported_only_a_new_connection_proves_anything(
    monkeypatch: pytest.MonkeyPatch,
):
    probe, _ = await probed_once(monkeypatch, Server(), TimeoutError())
    probe.member.health.suspect = True
    await probe.probe()
    assert (probe.member.health.failures, probe.member.health.suspect, probe.connection) == (1, True, None)


async def test_a_host_without_room_for_a_new_connection_is_asked_on_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
):
    first = Server()
    probe, doors = await probed_once(monkeypatch, first, asyncpg.TooManyConnectionsError("too many clients"))
    probe.member.health.suspect = True
    await probe.probe()
    assert (doors.tried, probe.connection, probe.member.health.suspect) == (2, first, False)


async def test_the_probe_is_in_no_database_that_somebody_may_want_to_drop(monkeypatch: pytest.MonkeyPatch):
    _, doors = await probed_once(monkeypatch, Server())
    assert doors.databases == ["postgres"]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidCatalogNameError("no such database"),
        asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"),
        asyncpg.InsufficientPrivilegeError("permission denied for database"),
    ],
)
async def test_where_the_neutral_database_is_closed_to_it_the_probe_is_in_the_urls(
    monkeypatch: pytest.MonkeyPatch, error: asyncpg.PostgresError
):
    probe, doors = await probed_once(monkeypatch, error, Server())
    probe.member.health.suspect = True
    await probe.probe()
    assert doors.databases == ["postgres", "app", "app"]
    assert probe.member.health.heard


async def test_a_reload_that_changes_the_login_opens_a_new_connection(monkeypatch: pytest.MonkeyPatch):
    probe, doors = await probed_once(monkeypatch, Server(), asyncpg.InvalidPasswordError("wrong password"))
    probe.member.url = Host("primary.internal", password=SecretStr("new"))
    await probe.probe()
    assert (doors.tried, probe.connection, probe.member.health.refused) == (2, None, True)
