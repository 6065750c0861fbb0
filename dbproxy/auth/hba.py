"""Who may log in, from where, and how they prove it: pg_hba.conf, in the format of PostgreSQL 18.

The first line decides that is for the client's kind of connection, database, user and address. What a line may need to
be judged by and what costs a question (the host's name, the roles that the user is a member of) is asked for only when
a line comes to it: `find_rule` then returns what is `Wanted`, and is called again with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, TypeVar, get_args

from dbproxy.auth.addresses import Own, Place, knows_own, parse_address, parse_place
from dbproxy.auth.lines import Fields, Line, Source, Token, read_lines
from dbproxy.errors import ConfigurationError, InvalidAuthorization

Method = Literal["trust", "reject", "scram-sha-256", "md5", "password", "cert", "peer"]
METHODS: tuple[str, ...] = get_args(Method)
NOT_SERVED = ("gss", "sspi", "ident", "ldap", "radius", "pam", "bsd", "oauth")  # PostgreSQL's others
KINDS = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
KEYWORDS = ("all", "samehost", "samenet")  # for an address
Tokens = tuple[Token, ...]
T = TypeVar("T")


class Wanted(Enum):
    """What has to be found out of a client before the lines can be judged."""

    HOST_NAME = "host name"
    ROLES = "roles"
    OWN = "this machine's addresses"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wants to log in; `address` is empty for a Unix socket, `replication` true of physical replication only.

    `host_name` is empty and `roles` holds nothing where there are none; `own`: this machine's addresses. What is None
    has not been asked for yet.
    """

    user: str
    database: str
    address: str = ""
    encrypted: bool = False
    replication: bool = False
    host_name: str | None = None
    roles: frozenset[str] | None = None
    own: Own | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. `certificate`: what the client's has to be beside the method: "", "verify-ca" or "verify-full"."""

    where: str
    method: Method
    kind: str = "host"
    databases: Tokens = ()
    users: Tokens = ()
    place: Place | None = None  # None: a Unix socket
    map: str = ""
    certificate: str = ""
    names: str = "CN"  # what of the certificate is the user: "CN" or "DN"


Rules = tuple[Rule, ...]


ANY = ("all", "sameuser", "samerole", "samegroup", "replication")  # what stands for databases of any name

# --- judging ---


class _Unknown(Exception):
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted


def find_rule(rules: Rules, caller: Caller) -> Rule | Wanted | None:
    """The line that decides; None if there is none; what must be known first."""
    address = parse_address(caller.address) if caller.address else None
    try:
        return next((rule for rule in rules if _is_for(rule, caller, address)), None)
    except _Unknown as unknown:
        return unknown.wanted


def _is_for(rule: Rule, caller: Caller, address: IPv4Address | IPv6Address | None) -> bool:
    if (rule.kind == "local") != (address is None):
        return False
    if rule.kind == "hostgssenc" or rule.kind == ("hostnossl" if caller.encrypted else "hostssl"):
        return False
    if address is not None and not _is_from(rule.place, caller, address):
        return False
    return any(_names_database(token, caller) for token in rule.databases) and any(
        names_user(token, caller) for token in rule.users
    )


def _is_from(place: Place | None, caller: Caller, address: IPv4Address | IPv6Address) -> bool:
    if place is None:
        return False
    if place.kind == "name":
        if caller.host_name is None:
            raise _Unknown(Wanted.HOST_NAME)
        return place.has_name(caller.host_name)
    if place.kind in ("samehost", "samenet") and caller.own is None:
        raise _Unknown(Wanted.OWN)
    return place.holds(address, caller.own or ())


def _names_database(token: Token, caller: Caller) -> bool:
    if caller.replication:
        return token.is_keyword("replication")
    if token.is_keyword("all"):
        return True
    if token.is_keyword("sameuser"):
        return caller.database == caller.user
    if token.is_keyword("samerole") or token.is_keyword("samegroup"):
        return _is_member(caller, caller.database)
    if token.is_keyword("replication"):
        return False
    return _is_text(token, caller.database)


def names_user(token: Token, caller: Caller) -> bool:
    """Whether it stands for this user, by a name, a role or a regular expression; also pg_ident.conf's."""
    if token.group:
        return _is_member(caller, token.group)
    return token.is_keyword("all") or _is_text(token, caller.user)


def _is_text(token: Token, name: str) -> bool:
    return token.pattern.search(name) is not None if token.pattern is not None else token.text == name


def _is_member(caller: Caller, role: str) -> bool:
    if caller.roles is None:
        raise _Unknown(Wanted.ROLES)
    return role in caller.roles


def refuse(rule: Rule | None, caller: Caller) -> InvalidAuthorization:
    """PostgreSQL's words for who is rejected by a line, or by having none."""
    host = caller.address or "[local]"
    encryption = "SSL encryption" if caller.encrypted else "no encryption"
    whose = "replication connection " if caller.replication else ""
    who = f'host "{host}", user "{caller.user}", '
    who += encryption if caller.replication else f'database "{caller.database}", {encryption}'
    if rule is not None:
        return InvalidAuthorization(f"pg_hba.conf rejects {whose or 'connection '}for {who}")
    return InvalidAuthorization(f"no pg_hba.conf entry for {whose and f'{whose}from '}{who}")


def needs_roles(rule: Rule) -> bool:
    """Whether this line asks whose member somebody is."""
    same = any(token.is_keyword("samerole") or token.is_keyword("samegroup") for token in rule.databases)
    return same or any(token.group for token in rule.users)


def list_databases(rule: Rule) -> list[str] | None:
    """Those that this line is for, where it names each; None where it may be for any."""
    if any(token.pattern or any(map(token.is_keyword, ANY)) for token in rule.databases):
        return None
    return [token.text for token in rule.databases]


# --- reading ---


def parse_rules(source: Source) -> Rules:
    """ConfigurationError lists every mistake, each with its file and line."""
    return tuple(parse_all(source, _parse_rule))


def parse_all(source: Source, parse: Callable[[Line], T]) -> list[T]:
    """Of each line what `parse` makes of it."""
    found, mistakes = [], []
    for line in read_lines(source):
        if line.mistake:
            mistakes.append(f"{line.where}: {line.mistake}")
            continue
        try:
            found.append(parse(line))
        except ValueError as error:
            mistakes.append(f"{line.where}: {error}")
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return found


def _parse_rule(line: Line) -> Rule:
    """ValueError in PostgreSQL's words."""
    fields = list(line.fields)
    kind = _take_one(fields, "connection type")
    if kind.text not in KINDS:
        raise ValueError(f'invalid connection type "{kind.text}"')
    databases, users = _take(fields, "database specification"), _take(fields, "role specification")
    place = None if kind.text == "local" else _take_place(fields)
    method = _find_method(_take_one(fields, "authentication method", "authentication type").text, kind.text)
    options = dict(_split_option(token.text) for field in fields for token in field)
    return Rule(
        line.where, method, kind.text, databases, users, place, **_read_options(options, method, kind.text)
    )


def _take(fields: Fields, what: str) -> Tokens:
    if not fields:
        raise ValueError(f"end-of-line before {what}")
    tokens = tuple(fields.pop(0))
    for token in tokens:
        token.pattern  # noqa: B018 - a bad one raises
    return tokens


def _take_one(fields: Fields, what: str, one: str = "") -> Token:
    tokens = _take(fields, what)
    if len(tokens) > 1:
        raise ValueError(f"multiple values specified for {one or what}")
    return tokens[0]


def _take_place(fields: Fields) -> Place:
    token = _take_one(fields, "IP address specification", "host address")
    if not token.quoted and token.text in KEYWORDS:
        if token.text != "all" and not knows_own():
            raise ValueError(f"{token.text} is served on Linux only")
        return Place(token.text)  # type: ignore[arg-type]  # one of KEYWORDS
    mask = fields[0] if fields else []
    if len(mask) > 1:
        raise ValueError("multiple values specified for netmask")
    place, has_mask = parse_place(token.text, mask[0].text if mask else None)
    if has_mask:
        fields.pop(0)
    return place


def _find_method(name: str, kind: str) -> Method:
    if name == "ident" and kind == "local":
        name = "peer"  # as PostgreSQL reads it
    if name in NOT_SERVED:
        raise ValueError(f'authentication method "{name}" is not served; use one of {", ".join(METHODS)}')
    method = next((known for known in get_args(Method) if known == name), None)
    if method is None:
        raise ValueError(f'invalid authentication method "{name}"')
    if method == "peer" and kind != "local":
        raise ValueError("peer authentication is only supported on local sockets")
    if method == "cert" and kind != "hostssl":
        raise ValueError("cert authentication is only supported on hostssl connections")
    return method  # type: ignore[no-any-return]


def _split_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"authentication option not in name=value format: {text}")
    return name, value


def _read_options(options: dict[str, str], method: str, kind: str) -> dict[str, str]:
    """`map`, `certificate` and `names` of a Rule."""
    unknown = next((name for name in options if name not in ("map", "clientcert", "clientname")), None)
    if unknown is not None:
        raise ValueError(f'unrecognized authentication option name: "{unknown}"')
    if "map" in options and method not in ("peer", "cert"):
        raise ValueError('authentication option "map" is only valid for authentication methods peer and cert')
    for name in ("clientcert", "clientname"):
        if name in options and kind != "hostssl":
            raise ValueError(f'{name} can only be configured for "hostssl" rows')
    certificate, names = options.get("clientcert", ""), options.get("clientname", "CN")
    if "clientcert" in options and certificate not in ("verify-ca", "verify-full"):
        raise ValueError(f'invalid value for clientcert: "{certificate}"')
    if method == "cert" and certificate == "verify-ca":
        raise ValueError('clientcert only accepts "verify-full" when using "cert" authentication')
    if names not in ("CN", "DN"):
        raise ValueError(f'invalid value for clientname: "{names}"')
    return {"map": options.get("map", ""), "certificate": certificate, "names": names}
