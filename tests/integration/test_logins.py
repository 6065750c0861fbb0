"""Our two sides of a login against PostgreSQL's: its server, and its client library."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from dbproxy.auth.client_login import Authenticator, Challenge, Done
from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.scram import Keys, derive_keys, parse_verifier
from dbproxy.auth.server_login import Credentials, ServerLogin
from dbproxy.auth.users import Secret
from dbproxy.demo.postgres import Postgres
from dbproxy.errors import InvalidPassword, ProxyError
from dbproxy.wire import build, startup
from dbproxy.wire.codes import Backend
from tests.support.postgres import PASSWORD, USERS, connect


def read_message(stream: socket.SocketIO) -> tuple[int, bytes]:
    header = stream.read(5)
    return header[0], stream.read(int.from_bytes(header[1:], "big") - 4)


def log_in(server: Postgres, user: str, credentials: Credentials) -> dict[str, str] | None:
    """What the server refuses us with, by field; None if it lets us in."""
    login = ServerLogin(user, f"127.0.0.1:{server.port}", credentials, KeyCache())
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        stream = connection.makefile("rb")
        connection.sendall(build.startup_message({"user": user, "database": "postgres"}))
        while not login.done:
            kind, payload = read_message(stream)
            if kind == Backend.ERROR_RESPONSE:
                return startup.parse_error_response(payload)
            assert kind == Backend.AUTHENTICATION
            step = login.receive(*startup.parse_authentication(payload))
            answer = step.run() if isinstance(step, Work) else step
            if answer:
                connection.sendall(build.authentication_response(answer.payload))
    return None


def stored_secret(server: Postgres, user: str) -> Secret:
    with connect(server) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [user]).fetchone()
    assert row
    return Secret.stored(row[0])


@pytest.mark.parametrize("user", USERS)
def test_postgresql_lets_us_in_by_each_method(primary: Postgres, user: str) -> None:
    assert log_in(primary, user, Secret("plain", PASSWORD)) is None


@pytest.mark.parametrize("user", [user for user, method in USERS.items() if method != "trust"])
def test_postgresql_refuses_a_wrong_password(primary: Postgres, user: str) -> None:
    refusal = log_in(primary, user, Secret("plain", "wrong"))
    assert refusal is not None
    assert refusal["C"] == InvalidPassword.sqlstate
    assert refusal["M"] == f'password authentication failed for user "{user}"'


def test_postgresql_lets_us_in_by_what_it_stores(primary: Postgres) -> None:
    assert log_in(primary, "app_md5", stored_secret(primary, "app_md5")) is None
    verifier = parse_verifier(stored_secret(primary, "app").value)
    assert verifier
    keys = derive_keys(PASSWORD, verifier.salt, verifier.iterations)
    assert log_in(primary, "app", keys) is None


class Door(threading.Thread):
    """Lets one client of libpq log in, and keeps what became of it."""

    def __init__(self, auth_type: str, secret: Secret | None) -> None:
        super().__init__()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.auth_type, self.secret = auth_type, secret
        self.done: Done | None = None

    def run(self) -> None:
        connection, _ = self.listener.accept()
        with self.listener, connection:
            connection.settimeout(10)
            try:
                self.done = self.check(connection)
                connection.sendall(build.authentication_ok() + build.ready_for_query(ord("I")))
                connection.recv(100)  # Terminate
            except ProxyError as error:
                connection.sendall(build.error_response(error))

    def check(self, connection: socket.socket) -> Done:
        stream = connection.makefile("rb")
        opening = startup.parse_startup(stream.read(startup.payload_length(stream.read(4))))
        assert isinstance(opening, startup.StartupMessage)
        login = Authenticator(KeyCache()).begin(self.auth_type, opening.user, self.secret)  # type: ignore[arg-type]
        step = login.start()
        while isinstance(step, Challenge):
            connection.sendall(build.authentication(step.code, step.payload))
            received = login.receive(read_message(stream)[1])
            step = received.run() if isinstance(received, Work) else received
        if step.last:
            connection.sendall(build.authentication(step.last.code, step.last.payload))
        return step


@contextmanager
def door(auth_type: str, secret: Secret | None) -> Iterator[Door]:
    opened = Door(auth_type, secret)
    opened.start()
    try:
        yield opened
    finally:
        opened.join(10)


def knock(at: Door, user: str, password: str) -> None:
    psycopg.connect(
        host="127.0.0.1", port=at.port, user=user, password=password, sslmode="disable", gssencmode="disable"
    ).close()


def secrets_of(primary: Postgres) -> dict[str, Secret | None]:
    return {
        "plain": Secret("plain", PASSWORD),
        "scram": stored_secret(primary, "app"),
        "md5": stored_secret(primary, "app_md5"),
        "none": None,
    }


@pytest.mark.parametrize(
    ("auth_type", "kind", "user"),
    [
        ("trust", "none", "app"),
        ("md5", "plain", "app"),
        ("md5", "md5", "app_md5"),
        ("md5", "scram", "app"),
        ("scram-sha-256", "plain", "app"),
        ("scram-sha-256", "scram", "app"),
    ],
)
def test_libpq_logs_in_to_us(primary: Postgres, auth_type: str, kind: str, user: str) -> None:
    with door(auth_type, secrets_of(primary)[kind]) as at:
        knock(at, user, PASSWORD)
    assert at.done


@pytest.mark.parametrize("kind", ["plain", "md5", "scram", "none"])
@pytest.mark.parametrize("auth_type", ["md5", "scram-sha-256"])
def test_libpq_is_told_that_its_password_is_wrong(primary: Postgres, auth_type: str, kind: str) -> None:
    with (
        door(auth_type, secrets_of(primary)[kind]) as at,
        pytest.raises(psycopg.OperationalError, match='password authentication failed for user "app"'),
    ):
        knock(at, "app", "wrong")
    assert at.done is None


def test_keys_that_libpq_shows_us_open_postgresql(primary: Postgres) -> None:
    with door("scram-sha-256", stored_secret(primary, "app")) as at:
        knock(at, "app", PASSWORD)
    assert at.done
    assert isinstance(at.done.keys, Keys)
    assert log_in(primary, "app", at.done.keys) is None
