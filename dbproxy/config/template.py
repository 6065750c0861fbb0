"""Keys made of what is known of a client: `{user}`, `{database}:{tag.tenant}`, `{client_addr/24}`.

    user  database                    as it has logged in
    application_name                  as it calls itself now
    client_addr  client_addr/24       its address, or its network (IPv6: of 64 bits, or as in `client_addr/24/48`);
                                      "unix" by a Unix socket
    setting.NAME                      a setting of its session, such as `app.tenant_id`
    tag.NAME                          a key of its statement's sqlcommenter tags

Anything else stands for itself. What a client can set itself is a *claim*: whom it is believed of, the settings say.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

_FIELD = re.compile(r"\{([^{}]*)\}")
_NETWORK = re.compile(r"client_addr(?:/(\d{1,2})(?:/(\d{1,3}))?)?")
_NAMED = re.compile(r"(setting|tag)\.([A-Za-z_][A-Za-z0-9_.$]*)")
_SECRET = re.compile(r"key|token|secret|passw|pwd|credential")
PLAIN = ("user", "database", "application_name")
CLAIMS = frozenset({"application_name", "setting", "tag"})
LOCAL = "unix"
WHOLE = (32, 128)  # bits of an address
USUAL = 64  # of an IPv6 network


@dataclass(frozen=True, slots=True)
class Field:
    """`kind`: user, database, application_name, client_addr, setting, tag; or "" for text that stands for itself."""

    kind: str
    name: str = ""  # of the setting or the tag; the text
    bits: tuple[int, int] = WHOLE  # of a network, IPv4 and IPv6


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of who asks."""

    user: str = ""
    database: str = ""
    application_name: str = ""
    address: str = ""  # "": by a Unix socket


@dataclass(frozen=True, slots=True)
class Template:
    text: str
    fields: tuple[Field, ...]

    @property
    def is_claim(self) -> bool:
        """Whether a client can set it itself."""
        return any(field.kind in CLAIMS for field in self.fields)

    @property
    def reads_tags(self) -> bool:
        return any(field.kind == "tag" for field in self.fields)

    @property
    def holds_secret(self) -> bool:
        """Whether what it is made of is a secret by its name, such as `app.api_key`."""
        return any(
            field.kind in ("setting", "tag") and _SECRET.search(field.name) is not None
            for field in self.fields
        )

    def fill(self, facts: Facts, settings: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """The key; empty if something that it is made of is not known."""
        words = [read(field, facts, settings, tags) for field in self.fields]
        return "".join(words) if all(words) else ""

    def __str__(self) -> str:
        return self.text


def read(field: Field, facts: Facts, settings: Mapping[str, str], tags: Mapping[str, str]) -> str:
    if not field.kind:
        return field.name
    if field.kind == "setting":
        return settings.get(field.name, "")
    if field.kind == "tag":
        return tags.get(field.name, "")
    if field.kind == "client_addr":
        return find_network(facts.address, field.bits)
    word: str = getattr(facts, field.kind)
    return word


@lru_cache(maxsize=4096)
def find_network(address: str, bits: tuple[int, int]) -> str:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return LOCAL
    own = bits[0] if isinstance(parsed, IPv4Address) else bits[1]
    if own == parsed.max_prefixlen:
        return str(parsed)
    return str(ip_network((parsed, own), strict=False))


def parse_template(text: object) -> Template:
    """ValueError if it is none."""
    if isinstance(text, Template):
        return text
    if not isinstance(text, str) or not text:
        raise ValueError('must be a text such as "{user}"')
    fields: list[Field] = []
    for number, piece in enumerate(_FIELD.split(text)):
        if number % 2:
            fields.append(_parse_field(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError("has a { or } that is not one of a pair")
        elif piece:
            fields.append(Field("", piece))
    return Template(text, tuple(fields))


def _parse_field(word: str) -> Field:
    if word in PLAIN:
        return Field(word)
    if found := _NETWORK.fullmatch(word):
        bits = (int(found[1] or WHOLE[0]), int(found[2] or (USUAL if found[1] else WHOLE[1])))
        if bits[0] <= WHOLE[0] and bits[1] <= WHOLE[1]:
            return Field("client_addr", bits=bits)
    if found := _NAMED.fullmatch(word):
        return Field(found[1], found[2].lower())
    raise ValueError(
        "has a field that is none of {user}, {database}, {application_name}, {client_addr}, {client_addr/24}, "
        "{setting.NAME}, {tag.NAME}"
    )
