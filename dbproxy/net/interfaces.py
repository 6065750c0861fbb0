"""The addresses of this machine's own interfaces (Linux: rtnetlink(7))."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

_GETADDR, _NEWADDR, _DONE, _DUMP = 22, 20, 3, 0x301
_ADDRESS, _LOCAL = 1, 2


def list_interfaces() -> list[tuple[IPv4Address | IPv6Address, int]]:
    """Each interface's address, and the bits of it that are its network's; the kernel answers at once."""
    found: list[tuple[IPv4Address | IPv6Address, int]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(1)
        kernel.send(struct.pack("=IHHIIBxxxI", 24, _GETADDR, _DUMP, 1, 0, socket.AF_UNSPEC, 0))
        while True:
            data = kernel.recv(65536)
            while data:
                size, kind = struct.unpack_from("=IH", data)
                if kind == _DONE or size < 16:
                    return found
                if kind == _NEWADDR and (address := _read_address(data[24:size])) is not None:
                    found.append((address, data[17]))
                data = data[(size + 3) & ~3 :]


def _read_address(attributes: bytes) -> IPv4Address | IPv6Address | None:
    """The interface's own; of a point-to-point line not the other end's."""
    values = {}
    while len(attributes) >= 4:
        size, kind = struct.unpack_from("=HH", attributes)
        values[kind] = attributes[4:size]
        attributes = attributes[(max(size, 4) + 3) & ~3 :]
    value = values.get(_LOCAL) or values.get(_ADDRESS)
    return ip_address(value) if value is not None else None
