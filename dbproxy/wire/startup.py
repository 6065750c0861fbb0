"""Reading what a connection begins with: a client's first message, a server's answers to our login.

PostgreSQL: "Start-up", "Message Formats". A client first sends a length and a payload without a kind byte: a
request for encryption (then it starts over), a cancel (then it is done) or a StartupMessage. Where a client
is wrong it is told so in PostgreSQL's words. `payload` is a message without its kind byte and length.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from dbproxy.errors import InvalidAuthorization, InvalidParameterValue, ProtocolViolation, UnreadableStartup
from dbproxy.wire import messages
from dbproxy.wire.codes import Startup

MAX_LENGTH = 10_000  # of a payload (PostgreSQL's MAX_STARTUP_PACKET_LENGTH)
MAX_CANCEL_KEY = 256
MINOR = 2  # the newest 3.x that we serve
LONG_KEYS = 2  # the 3.x from which on cancel keys may have any length
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


@dataclass(frozen=True)
class StartupMessage:
    """A login: `parameters` as sent, `protocol_options` the names of extensions that the client asks for.

    Equal packets are mostly one object: nothing of it is changed.
    """

    minor: int
    parameters: Mapping[str, str]
    protocol_options: tuple[str, ...] = ()

    @cached_property
    def user(self) -> str:
        return cut_name(self.parameters["user"])

    @cached_property
    def database(self) -> str:
        return cut_name(self.parameters.get("database") or self.user)

    @cached_property
    def served_minor(self) -> int:
        """The 3.x that is spoken."""
        return min(self.minor, MINOR)

    @cached_property
    def replication(self) -> str:
        """`physical`, or `logical` for one of a database; empty if SQL is spoken. InvalidParameterValue if neither."""
        asked = self.parameters.get("replication", "false")
        if asked == "database":
            return "logical"
        on = parse_bool(asked)
        if on is None:
            raise InvalidParameterValue(
                f'invalid value for parameter "replication": "{asked}"',
                hint='Valid values are: "false", 0, "true", 1, "database".',
            )
        return "physical" if on else ""

    @cached_property
    def needs_negotiation(self) -> bool:
        """Whether NegotiateProtocolVersion must tell the client that it gets less than it asked for."""
        return self.minor > MINOR or bool(self.protocol_options)

    def server_parameters(self) -> dict[str, str]:
        """What a server of the client's own is to be told: all that was sent, but who asks for which database."""
        return {name: value for name, value in self.parameters.items() if name not in ("user", "database")}

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """The session settings that the client starts with, by lower-case name; one given so wins over `options`."""
        named = {name: value for name, value in self.parameters.items() if name not in _NO_SETTINGS}
        asked = parse_options(self.parameters.get("options", "")) | named
        return {name.lower(): value for name, value in asked.items()}


NAME_SIZE = 63  # bytes (PostgreSQL's NAMEDATALEN - 1)


def cut_name(name: str) -> str:
    """As PostgreSQL reads a longer one."""
    if 4 * len(name) <= NAME_SIZE:
        return name
    return name.encode("utf-8", "surrogateescape")[:NAME_SIZE].decode("utf-8", "surrogateescape")


_NO_SETTINGS = frozenset({"user", "database", "options", "replication"})

_WORDS = {True: ("true", "yes", "on", "1"), False: ("false", "no", "off", "0")}


@lru_cache(64)
def parse_bool(text: str) -> bool | None:
    """As PostgreSQL reads one: any beginning of a word that is no other's; None if it is none."""
    lower = text.strip().lower()
    found = {
        value for value, words in _WORDS.items() if any(lower and word.startswith(lower) for word in words)
    }
    return found.pop() if len(found) == 1 else None


Opening = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest


def payload_length(header: bytes | bytearray) -> int:
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
    return _parse_login(payload)


def _parse_cancel(payload: bytes) -> CancelRequest:
    if not 8 < len(payload) <= 8 + MAX_CANCEL_KEY:
        raise UnreadableStartup("invalid length of cancel key in cancel request packet")
    return CancelRequest(int.from_bytes(payload[4:8], "big"), payload[8:])


@lru_cache(64)
def _parse_login(payload: bytes) -> StartupMessage:
    """A client's packets are mostly equal: it is what a pool of connections is opened with."""
    major, minor = struct.unpack_from("!HH", payload)
    if major != 3:
        supported = f"server supports 3.0 to 3.{MINOR}"
        raise ProtocolViolation(
            f"unsupported frontend protocol {major}.{minor}: {supported}", sqlstate="0A000"
        )
    sent = parse_parameters(payload)
    if not sent.get("user"):
        raise InvalidAuthorization("no PostgreSQL user name specified in startup packet")
    options = tuple([name for name in sent if name.startswith(PROTOCOL_OPTION)])
    for name in options:
        del sent[name]
    return StartupMessage(minor, sent, options)


def parse_parameters(payload: bytes) -> dict[str, str]:
    """Names and values in turn, each with a NUL behind it, and an empty name behind the last."""
    texts = messages.decode(payload[4:]).split("\0")
    names, values = texts[:-2:2], texts[1:-2:2]
    if len(texts) % 2 or texts[-2:] != ["", ""] or "" in names:
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
    return dict(zip(names, values, strict=True))


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
    """The fields of an ErrorResponse or NoticeResponse by their letter.

    Not by the declaration: that goes byte by byte, and a statement decides how long its error is.
    """
    *fields, last, end = payload.split(b"\0") if payload.endswith(b"\0") else (b"", b"", b"")
    if last or end or b"" in fields:
        raise ProtocolViolation("malformed ErrorResponse message")
    return {chr(field[0]): messages.decode(field[1:]) for field in fields}


def parse_parameter_status(payload: bytes) -> tuple[str, str]:
    """Name and value. Not by the declaration: a server sends it whenever it goes to a client with other settings."""
    texts = payload.split(b"\0")
    if len(texts) != 3 or texts[2]:
        raise ProtocolViolation("malformed ParameterStatus message")
    return messages.decode(texts[0]), messages.decode(texts[1])


def parse_negotiation(payload: bytes) -> tuple[int, int]:
    """The protocol's version, major << 16 | minor, and how many options the server does not know."""
    if len(payload) < 8:
        raise ProtocolViolation("malformed NegotiateProtocolVersion message")
    return int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")


def parse_backend_key_data(payload: bytes) -> tuple[int, bytes]:
    """The server's process id and its cancel key: 4 bytes, or, in protocol 3.2, any up to 256."""
    if not 8 <= len(payload) <= 4 + MAX_CANCEL_KEY:
        raise ProtocolViolation("malformed BackendKeyData message")
    return int.from_bytes(payload[:4], "big"), payload[4:]
