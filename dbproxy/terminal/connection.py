"""A connection to the console, as a command has one: it asks, and waits. PostgreSQL: "Start-up", "Simple Query".

No driver is used: those that PostgreSQL's users know speak the extended protocol, or need a library of C.
"""

import socket
from typing import Self

from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.server_login import ServerLogin
from dbproxy.auth.users import Secret
from dbproxy.errors import ConfigurationError, ProtocolViolation, ServerLost, ServerRefused, ServerUnavailable
from dbproxy.net.dial import name_unix
from dbproxy.net.tls import HandshakeFailed, say
from dbproxy.terminal.address import DATABASE, Address
from dbproxy.terminal.encryption import encrypt, find_line
from dbproxy.terminal.result import Result, read_columns, read_row
from dbproxy.wire import build
from dbproxy.wire.messages import decode
from dbproxy.wire.startup import parse_authentication, parse_backend_key_data, parse_error_response

PATIENCE = 10.0  # seconds for connecting and logging in
NO_PASSWORD = (
    "Set PGPASSWORD, put it into ~/.pgpass, or give the proxy's own settings (--config, DATABASE_URL), "  # noqa: S105
    "where they have a password of one of auth.admin_users. --user names another user."
)

NOBODY_THERE = "Does the proxy run? --config, or --host and --port, say where."
NO_CERTIFICATE = "Name one by PGSSLCERT and PGSSLKEY, or as ~/.postgresql/postgresql.crt and postgresql.key."


class Connection:
    """`with Connection(address) as console: console.ask("SHOW POOLS")`."""

    def __init__(self, address: Address, patience: float = PATIENCE) -> None:
        """ServerUnavailable if nobody is there; ServerRefused or ConfigurationError if we are not let in."""
        self.address = address
        self.pid, self.key = 0, b""
        self.socket = self._dial(patience)
        self.stream = self.socket.makefile("rb")
        try:
            self._log_in()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_for_ever(self) -> None:
        """Some commands return when others have done something."""
        self.socket.settimeout(None)

    def ask(self, query: str) -> list[Result]:
        """The answers to the commands of one Query. ServerRefused, in the console's words, if one of them fails."""
        self._send(build.query(query))
        results: list[Result] = []
        result, error = Result(), None
        while True:
            kind, payload = self._read()
            if kind == ord("T"):
                result.columns = read_columns(payload)
            elif kind == ord("D"):
                result.rows.append(read_row(payload))
            elif kind == ord("N"):
                result.notices.append(parse_error_response(payload))
            elif kind == ord("C"):
                result.tag = decode(payload.removesuffix(b"\0"))
                results.append(result)
                result = Result()
            elif kind == ord("E"):
                error = refusal(parse_error_response(payload))
            elif kind == ord("Z"):
                if error is not None:
                    raise error
                return results

    def cancel(self) -> None:
        """Take back what is under way, as Ctrl-C in psql does."""
        with self._dial(PATIENCE) as messenger:
            messenger.sendall(build.cancel_request(self.pid, self.key))
            messenger.recv(1)  # it is closed when that has been dealt with

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    # --- bytes ---

    def _dial(self, patience: float) -> socket.socket:
        address = self.address
        try:
            if address.is_unix:
                return _dial_unix(name_unix(address.host, address.port), patience)
            return _dial_tcp(address, patience)
        except OSError as error:
            raise ServerUnavailable(
                f"cannot connect to the console at {address}: {error.strerror or error}",
                hint="" if isinstance(error, HandshakeFailed) else NOBODY_THERE,
            ) from error

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise self._lost(say(error)) from error

    def _read(self) -> tuple[int, bytes]:
        """One message: its kind, and its payload."""
        try:
            header = self.stream.read(5)
            size = int.from_bytes(header[1:], "big") - 4
            payload = self.stream.read(size) if size > 0 else b""
        except OSError as error:
            raise self._lost(say(error)) from error
        if len(header) < 5 or len(payload) < size:
            raise self._lost("it was closed")
        return header[0], payload

    def _lost(self, reason: str) -> ServerLost:
        hint = NO_CERTIFICATE if "certificate required" in reason else ""
        return ServerLost(f"the connection to the console at {self.address} was lost: {reason}", hint=hint)

    # --- login ---

    def _log_in(self) -> None:
        self._send(build.startup_message({"user": self.address.user, "database": DATABASE,
                                          "application_name": "dbproxy"}))  # fmt: skip
        password = self.address.password
        secret = Secret("plain", password) if password is not None else None
        login = ServerLogin(
            self.address.user,
            f"the console at {self.address}",
            secret,
            KeyCache(),
            line=find_line(self.socket),
        )
        while True:
            kind, payload = self._read()
            if kind == ord("R"):
                self._authenticate(login, payload)
            elif kind == ord("E"):
                raise refusal(parse_error_response(payload))
            elif kind == ord("K"):
                self.pid, self.key = parse_backend_key_data(payload)
            elif kind == ord("Z"):
                break
        if not login.done:
            raise ProtocolViolation("the console was ready before it had authenticated us")

    def _authenticate(self, login: ServerLogin, payload: bytes) -> None:
        try:
            answer = login.receive(*parse_authentication(payload))
        except ConfigurationError as error:
            raise ConfigurationError(error.message, hint=NO_PASSWORD) from error
        if isinstance(answer, Work):
            answer = answer.run()
        if answer is not None:
            self._send(build.authentication_response(answer.payload))


def _dial_tcp(address: Address, patience: float) -> socket.socket:
    connected = socket.create_connection((address.host, address.port), patience)
    try:
        return encrypt(connected, address.host, address.tls)
    except BaseException:
        connected.close()
        raise


def _dial_unix(path: str, patience: float) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(patience)
    try:
        connected.connect(path)
    except OSError:
        connected.close()
        raise
    return connected


def refusal(fields: dict[str, str]) -> ServerRefused:
    return ServerRefused(
        fields.get("M", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
        sqlstate=fields.get("C", ""),
    )
