"""Which clients' addresses a line of pg_hba.conf is for."""

import socket
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

Kind = Literal["all", "samehost", "samenet", "network", "name"]
SIZES = {4: 32, 6: 128}  # bits of an address
Own = tuple[
    tuple[IPv4Address | IPv6Address, int], ...
]  # addresses of this machine's interfaces, and their bits


@dataclass(frozen=True, slots=True)
class Network:
    """All addresses that agree with this one in the bits of the mask."""

    version: int  # of IP
    address: int
    mask: int

    def holds(self, address: IPv4Address | IPv6Address) -> bool:
        return address.version == self.version and not (int(address) ^ self.address) & self.mask


@dataclass(frozen=True, slots=True)
class Place:
    """`name`: of a host; with a dot ahead, the end of its name."""

    kind: Kind
    network: Network | None = None
    name: str = ""

    def holds(self, address: IPv4Address | IPv6Address, own: Own) -> bool:
        """Whatever kind but `name` it is."""
        if self.kind == "all":
            return True
        if self.kind == "network":
            return self.network is not None and self.network.holds(address)
        return any(network.holds(address) for network in own_networks(own, whole=self.kind == "samenet"))

    def has_name(self, host_name: str) -> bool:
        found, wanted = host_name.lower(), self.name.lower()
        return found.endswith(wanted) if wanted.startswith(".") else found == wanted


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Of a client; a link-local one's zone does not count."""
    return ip_address(text.partition("%")[0])


def parse_place(text: str, mask: str | None) -> tuple[Place, bool]:
    """What an address field means, and whether the field behind it was its mask. ValueError in PostgreSQL's words."""
    numeric, slash, bits = text.partition("/")
    address = _parse_numeric(numeric)
    if address is None:
        if slash:
            raise ValueError(f'specifying both host name and CIDR mask is invalid: "{text}"')
        return Place("name", name=text), False
    if slash:
        return Place("network", _network(address, _mask_of(bits, address.version, text))), False
    if mask is None:
        raise ValueError("end-of-line before netmask specification")
    parsed = _parse_numeric(mask)
    if parsed is None:
        raise ValueError(f'invalid IP mask "{mask}"')
    if parsed.version != address.version:
        raise ValueError("IP address and mask do not match")
    return Place("network", _network(address, int(parsed))), True


def _network(address: IPv4Address | IPv6Address, mask: int) -> Network:
    return Network(address.version, int(address), mask)


def _mask_of(bits: str, version: int, text: str) -> int:
    if not (bits.isascii() and bits.isdigit() and int(bits) <= SIZES[version]):
        raise ValueError(f'invalid CIDR mask in address "{text}"')
    size = SIZES[version]
    return ((1 << int(bits)) - 1) << (size - int(bits))


def _parse_numeric(text: str) -> IPv4Address | IPv6Address | None:
    """As getaddrinfo reads it, like PostgreSQL: 10.1 is 10.0.0.1; None for a name."""
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    return parse_address(str(found[0][4][0]))


def own_networks(own: Own, *, whole: bool) -> list[Network]:
    """The networks that this machine's interfaces are in; not `whole`: its own addresses only."""
    sizes = ((address, bits if whole else SIZES[address.version]) for address, bits in own)
    return [_network(address, _mask_of(str(bits), address.version, "")) for address, bits in sizes]


def knows_own() -> bool:
    """Whether this machine can be asked for its networks (net.interfaces)."""
    return sys.platform == "linux"
