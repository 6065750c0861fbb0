"""Who is at the other end of a client's line, as far as the line itself shows."""

import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

# Attributes of a distinguished name by the short names that RFC 2253 and OpenSSL write.
SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "streetAddress": "street",
    "domainComponent": "DC",
    "userId": "UID",
    "surname": "SN",
    "givenName": "GN",
}
Names = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """`certificate`: the client's, in DER; `verified`: by an authority that we trust; `dn`: as RFC 2253 writes it."""

    encrypted: bool = False
    cipher: str = ""
    version: str = ""  # of TLS
    certificate: bytes | None = field(default=None, repr=False)
    verified: bool = False
    common_name: str = ""
    dn: str = ""
    direct: bool = False  # TLS from the first byte on, not asked for by an SSLRequest
    unix_uid: int | None = None
    binding: bytes | None = field(default=None, repr=False)  # what a login may be bound to (net.certificate)

    @property
    def tls(self) -> str:
        """As SHOW CLIENTS has it: version and cipher; empty for a plain line."""
        return f"{self.version}/{self.cipher}" if self.encrypted else ""


PLAIN = Peer()


def find_peer(transport: Any, *, direct: bool = False, binding: bytes | None = None) -> Peer:
    """Of a transport: ours, encrypted or plain, or the loop's."""
    line = transport.get_extra_info("ssl_object")
    if line is None:
        if isinstance(transport.get_extra_info("peername"), tuple):
            return PLAIN
        uid = _ask_uid(transport.get_extra_info("socket"))
        return PLAIN if uid is None else Peer(unix_uid=uid)
    certificate = line.getpeercert(binary_form=True)
    shown: Any = line.getpeercert() or {}  # nothing of one that was not verified
    subject: Names = shown.get("subject", ())
    return Peer(
        encrypted=True,
        cipher=describe_cipher(line),
        version=line.version() or "",
        certificate=certificate,
        verified=bool(shown),
        common_name=find_common_name(subject),
        dn=write_dn(subject),
        direct=direct,
        binding=binding,
    )


def describe(transport: Any) -> str:
    """Version and cipher of an encrypted line, as PgBouncer's `tls` column; empty for a plain one."""
    line = transport.get_extra_info("ssl_object") if transport is not None else None
    return f"{line.version()}/{describe_cipher(line)}" if line is not None else ""


def describe_cipher(line: ssl.SSLObject) -> str:
    cipher = line.cipher()
    return cipher[0] if cipher is not None else ""


def find_common_name(subject: Names) -> str:
    """The first, as PostgreSQL: a later one may be what somebody asked to be added. Empty if it holds a NUL."""
    found = next((value for part in subject for name, value in part if name == "commonName"), "")
    return "" if "\0" in found else found


def write_dn(subject: Names) -> str:
    """The last part first, as RFC 2253 has it, and as PostgreSQL writes what is not ASCII or cannot be seen."""
    return ",".join(
        "+".join(f"{SHORT.get(name, name)}={_escape(value)}" for name, value in reversed(part))
        for part in reversed(subject)
    )


def _escape(value: str) -> str:
    text = "".join(map(_escape_sign, value))
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if value.endswith(" ") and len(value) > 1 else text


def _escape_sign(sign: str) -> str:
    if sign in ',+"\\<>;':
        return f"\\{sign}"
    if sign.isascii() and sign.isprintable():
        return sign
    return "".join(f"\\{byte:02X}" for byte in sign.encode("utf-8", "surrogateescape"))


def _ask_uid(sock: socket.socket | None) -> int | None:
    """The user who has the other end of a Unix socket."""
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)
