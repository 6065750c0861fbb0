"""Connection strings, as text: what they say by the names of libpq's parameters, not yet what it means.

libpq: "Connection Strings". Three forms are read:

    postgresql://[user[:password]@][host][:port][,…][/dbname][?name=value&…]   every part percent-encoded; also
                                                            postgres://, and postgresql+driver:// as SQLAlchemy has it
    jdbc:postgresql://host[:port][,…]/dbname[?name=value&…]    JDBC's own parameters by libpq's names
    host=… port=… dbname='my db' …                             key words and values, in libpq's quotes

As in libpq, what stands before an @ that comes ahead of every / is the login, whatever else it holds. Two things
differ, on purpose: of several @ the last ends the login; and a URI's parameters that libpq does not know are kept, as
an application's URI often has its driver's.

A URI that could be read otherwise, with a part of the password as the host, port, database or a parameter, is refused:
those are shown. No ValueError raised here holds any part of the text.
"""

import re
from urllib.parse import unquote

# All that libpq 18 takes; a test asks libpq itself. `tty`, `authtype` and `requiressl` are older.
LIBPQ = frozenset({
    "application_name", "authtype", "channel_binding", "client_encoding", "connect_timeout", "dbname",
    "fallback_application_name", "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
    "load_balance_hosts", "max_protocol_version", "min_protocol_version", "oauth_client_id",
    "oauth_client_secret", "oauth_issuer", "oauth_scope", "options", "passfile", "password", "port",
    "replication", "require_auth", "requirepeer", "requiressl", "scram_client_key", "scram_server_key",
    "service", "servicefile", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert",
    "sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslkeylogfile", "sslmode",
    "sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout",
    "tty", "user",
})  # fmt: skip
ENCODE = "if the password holds one of : / ? # @ % it must be percent-encoded, such as %40 for @"
NO_URL = 'must be a URL, such as "postgresql://user:password@host:5432/dbname", or "host=… user=… password=… dbname=…"'

_URI = re.compile(r"(?P<jdbc>jdbc:)?(?:postgres|postgresql)(?P<driver>\+\w+)?:(?P<rest>.*)", re.DOTALL)
_REST = re.compile(r"(?P<place>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?", re.DOTALL)
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]]*)(?::(?P<port>\d*))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # of a parameter
_BLANK = " \t\n\v\f\r"
_PAIR = re.compile(
    rf"[{_BLANK}]*(?P<name>[^={_BLANK}]+)[{_BLANK}]*=[{_BLANK}]*"
    rf"(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?!')(?:[^\\{_BLANK}]|\\.|\\$)*))",
    re.DOTALL,
)
# pgjdbc's names and words for what libpq has, too.
_JDBC = {
    "ApplicationName": "application_name",
    "channelBinding": "channel_binding",
    "connectTimeout": "connect_timeout",
    "gssEncMode": "gssencmode",
    "loadBalanceHosts": "load_balance_hosts",
    "requireAuth": "require_auth",
    "sslNegotiation": "sslnegotiation",
    "targetServerType": "target_session_attrs",
    "tcpKeepAlive": "keepalives",
}
_JDBC_WORDS = {
    "keepalives": {"true": "1", "false": "0"},
    "load_balance_hosts": {"true": "random", "false": "disable"},
    "target_session_attrs": {
        "master": "primary", "slave": "standby", "secondary": "standby", "preferSlave": "prefer-standby",
        "preferSecondary": "prefer-standby", "preferPrimary": "any",
    },
}  # fmt: skip


def read_conninfo(text: str) -> dict[str, str]:
    """The parameters in a connection string; several hosts and ports are one text with commas."""
    parameters = _read(text)
    if required := parameters.pop("requiressl", ""):
        parameters.setdefault("sslmode", "require" if required.startswith("1") else "prefer")
    return parameters


def _read(text: str) -> dict[str, str]:
    match = _URI.fullmatch(text)
    if match is None:
        return _read_pairs(text)
    rest = match["rest"]
    if match["jdbc"] and not rest.startswith("//"):
        rest = "///" + rest.removeprefix("/")  # jdbc:postgresql:dbname
    if not rest.startswith("//"):
        raise ValueError(NO_URL)
    parameters = _read_uri(rest[2:], joins=bool(match["driver"]))
    return _translate(parameters) if match["jdbc"] else parameters


def split_list(text: str) -> list[str]:
    """Connection strings separated by commas; a comma between hosts, ahead of the first /, is a URI's own."""
    found: list[str] = []
    for piece in filter(str.strip, text.split(",")):
        scheme, _, behind = found[-1].partition("://") if found else ("", "", "/")
        if _URI.fullmatch(piece.strip()) or not behind or "/" in behind or not _URI.fullmatch(scheme + "://"):
            found.append(piece)
        else:
            found[-1] += f",{piece}"
    return [one.strip() for one in found]


# --- URIs ---


def _read_uri(text: str, *, joins: bool) -> dict[str, str]:
    login, rest = _split_login(text)
    found = _REST.fullmatch(rest)
    assert found is not None  # it matches any text
    parts = login | _split_places(found["place"]) | {"dbname": _decode(found["dbname"] or "")}
    parameters = _split_query(found["query"] or "", joins=joins)
    return {name: said for name, said in parts.items() if said} | parameters


def _split_login(text: str) -> tuple[dict[str, str], str]:
    """User and password, and what comes behind them."""
    before, slash, behind = text.partition("/")
    # The last @ ends the login, as most drivers have it (libpq: the first). A host never holds one.
    login, _, where = before.rpartition("@")
    if "@" in behind:
        raise ValueError(f"must not hold an @ behind the first /; {ENCODE}")
    user, colon, password = login.partition(":")
    if ":" in _decode(user) and not colon:
        raise ValueError("must have a plain : between user and password, not %3A")
    return {"user": _decode(user), "password": _decode(password)}, where + slash + behind


def _split_places(text: str) -> dict[str, str]:
    places = [_split_place(place) for place in text.split(",")]
    ports = ",".join(port for _, port in places)
    return {"host": ",".join(host for host, _ in places), "port": ports if ports.strip(",") else ""}


def _split_place(place: str) -> tuple[str, str]:
    match = _PLACE.fullmatch(place)
    if match is None:
        raise ValueError(f"must have a port number after the host; {ENCODE}")
    host = match["host"][1:-1] if match["host"].startswith("[") else match["host"]
    return _decode(host), match["port"] or ""


def _split_query(query: str, *, joins: bool) -> dict[str, str]:
    """`joins`: `host=a:1&host=b:2` names several, as in SQLAlchemy's URLs."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    if not all(equals and _NAME.fullmatch(_decode(name)) for name, equals, _ in pairs):
        raise ValueError(f"must have parameters of the form name=value behind the ?; {ENCODE}")
    read = [(_decode(name), _decode(value)) for name, _, value in pairs]
    parameters = dict(read)
    hosts = [value for name, value in read if name == "host"]
    if joins and (len(hosts) > 1 or re.search(r"^[^/:]+:\d+$", "".join(hosts))):
        parameters |= _split_places(",".join(hosts))
    return parameters


def _translate(parameters: dict[str, str]) -> dict[str, str]:
    """JDBC's names and words as libpq's."""
    said = {}
    for name, value in parameters.items():
        meant = _JDBC.get(name, name)
        said[meant] = _JDBC_WORDS.get(meant, {}).get(value, value) if meant != name else value
    if said.get("ssl", "").lower() in ("", "true") and "ssl" in said:
        said.setdefault("sslmode", "verify-full")  # what pgjdbc makes of it
    return said


def _decode(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded from UTF-8") from None
    if "\0" in decoded:
        raise ValueError("must not hold %00")
    return decoded


# --- key words and values ---


def _read_pairs(text: str) -> dict[str, str]:
    if "=" not in text or "\0" in text:
        raise ValueError(NO_URL)
    parameters = {}
    at = 0
    rest = len(text.rstrip(_BLANK))
    while at < rest:
        pair = _PAIR.match(text, at)
        if pair is None or pair["name"] not in LIBPQ:
            raise ValueError(
                f"{NO_URL}: libpq's parameters alone; a value with blanks is quoted, as in password='a b', and a "
                "quote or backslash in it has a backslash before"
            )
        value = pair["plain"] if pair["quoted"] is None else pair["quoted"]
        parameters[pair["name"]] = re.sub(r"\\(.?)", r"\1", value, flags=re.DOTALL)
        at = pair.end()
    return parameters
