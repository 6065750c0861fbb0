"""Reading what a connection begins with: a client's first message, a server's answers to our login.

PostgreSQL: "Start-up", "Message Formats". A client first sends a length and a payload without a kind byte: a
request for encryption (then it starts over), a cancel (then it is done) or a StartupMessage. Where a client
is wrong it is told so in PostgreSQL's words. `payload` is a message without its kind byte and length.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from construct import ConstructError

from dbproxy.errors import InvalidAuthorization, ProtocolViolation, UnreadableStartup
from dbproxy.wire import messages
from dbproxy.wire.codes import Backend, Startup

MAX_LENGTH = 10_000  # of a payload (PostgreSQL's MAX_STARTUP_PACKET_LENGTH)
MAX_CANCEL_KEY = 256
MINOR = 0  # the newest 3.x that we serve
PROTOCOL_OPTION = "_pq_."  # what begins with it is not a setting but an extension of the protocol


@dataclass(frozen=True, slots=True)
class SSLRequest:
    """The client wants TLS: one byte answers it, `S` or `N`."""


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    """The client wants GSSAPI encryption: one byte answers it, `G` or `N`."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Nothing answers it."""

    pid: int
    key: bytes


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """A login: `parameters` as sent, `protocol_options` the names of extensions that the client asks for."""

    minor: int
    parameters: Mapping[str, str]
    protocol_options: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        return self.parameters["user"]

    @property
    def database(self) -> str:
        return self.parameters.get("database") or self.user

    @property
    def needs_negotiation(self) -> bool:
        """Whether NegotiateProtocolVersion must tell the client that it gets less than it asked for."""
        return self.minor > MINOR or bool(self.protocol_options)

    def settings(self) -> dict[str, str]:
        """The session settings that the client starts with; a parameter wins over the same in `options`."""
        named = {name: value for name, value in self.parameters.items() if name not in _NO_SETTINGS}
        return parse_options(self.parameters.get("options", "")) | named


_NO_SETTINGS = frozenset({"user", "database", "options", "replication"})

Opening = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest


def payload_length(header: bytes) -> int:
    """How many bytes follow the first four of a new connection."""
    length = int.from_bytes(header[:4], "big") - 4
    if not 4 <= length <= MAX_LENGTH:
        raise UnreadableStartup("invalid length of startup packet")
    return length


def parse_startup(payload: bytes) -> Opening:
    if not 4 <= len(payload) <= MAX_LENGTH:
        raise UnreadableStartup("invalid length of startup packet")
    code = int.from_bytes(payload[:4], "big")
    if code == Startup.SSL_REQUEST:
        return SSLRequest()
    if code == Startup.GSSENC_REQUEST:
        return GSSENCRequest()
    if code == Startup.CANCEL_REQUEST:
        return _parse_cancel(payload)
    return _parse_login(code >> 16, code & 0xFFFF, payload)


def _parse_cancel(payload: bytes) -> CancelRequest:
    if not 8 < len(payload) <= 8 + MAX_CANCEL_KEY:
        raise UnreadableStartup("invalid length of cancel key in cancel request packet")
    return CancelRequest(int.from_bytes(payload[4:8], "big"), payload[8:])


def _parse_login(major: int, minor: int, payload: bytes) -> StartupMessage:
    if major != 3:
        supported = f"server supports 3.0 to 3.{MINOR}"
        raise ProtocolViolation(
            f"unsupported frontend protocol {major}.{minor}: {supported}", sqlstate="0A000"
        )
    try:
        sent = messages.StartupMessage.parse(payload).parameters
    except ConstructError as error:
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte") from error
    if not sent.get("user"):
        raise InvalidAuthorization("no PostgreSQL user name specified in startup packet")
    options = tuple(name for name in sent if name.startswith(PROTOCOL_OPTION))
    return StartupMessage(minor, {name: sent[name] for name in sent if name not in options}, options)


# --- the parameter `options`: switches of a postgres command line ---

_SPACE = " \t\n\v\f\r"
_WORD = re.compile(rf"(?:\\.?|[^\\{_SPACE}])+", re.DOTALL)  # a backslash keeps what follows it


def parse_options(options: str) -> dict[str, str]:
    """The settings in `-c name=value`, `-cname=value` and `--name=value`; other switches are refused."""
    words = [re.sub(r"\\(.?)", r"\1", word, flags=re.DOTALL) for word in _WORD.findall(options)]
    settings: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        switch = word[:2]
        setting = word[2:] or (next(rest, "") if switch == "-c" else "")
        if switch not in ("-c", "--") or not setting:
            raise ProtocolViolation(
                f"invalid command-line argument for server process: {word}",
                hint='The startup parameter "options" takes "-c name=value" and "--name=value".',
                sqlstate="42601",
            )
        name, equals, value = setting.partition("=")
        if not equals:
            spelled = f"--{setting}" if switch == "--" else f"-c {setting}"
            raise ProtocolViolation(f"{spelled} requires a value", sqlstate="42601")
        settings[name.replace("-", "_")] = value
    return settings


# --- what a server says while we log in ---


def parse_authentication(payload: bytes) -> tuple[int, bytes]:
    """The request's code (codes.Authentication) and the bytes that belong to it."""
    if len(payload) < 4:
        raise ProtocolViolation("malformed Authentication message")
    return int.from_bytes(payload[:4], "big"), payload[4:]


def parse_error_response(payload: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse by their letter."""
    return dict(messages.parse(messages.BACKEND[Backend.ERROR_RESPONSE], payload, "ErrorResponse").fields)


def parse_parameter_status(payload: bytes) -> tuple[str, str]:
    """Name and value. Not by the declaration: a server sends it whenever it goes to a client with other settings."""
    texts = payload.split(b"\0")
    if len(texts) != 3 or texts[2]:
        raise ProtocolViolation("malformed ParameterStatus message")
    return messages.decode(texts[0]), messages.decode(texts[1])


def parse_backend_key_data(payload: bytes) -> tuple[int, bytes]:
    """The server's process id and its cancel key."""
    if len(payload) < 8:
        raise ProtocolViolation("malformed BackendKeyData message")
    return int.from_bytes(payload[:4], "big"), payload[4:]
