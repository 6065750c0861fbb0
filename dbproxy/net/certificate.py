"""What a certificate binds a login to: `tls-server-end-point` (RFC 5929, section 4), its hash.

The hash function is that of the certificate's own signature, and SHA-256 where that would be MD5 or SHA-1. It is read
from the DER: `ssl` does not tell it.
"""

import hashlib

RSA_PSS = bytes.fromhex("2a864886f70d01010a")
# Object identifiers, as DER has them.
SIGNATURES = {
    "2a864886f70d010104": "sha256",  # md5WithRSAEncryption
    "2a864886f70d010105": "sha256",  # sha1WithRSAEncryption
    "2a864886f70d01010b": "sha256",  # sha256WithRSAEncryption
    "2a864886f70d01010c": "sha384",
    "2a864886f70d01010d": "sha512",
    "2a864886f70d01010e": "sha224",
    "2a8648ce3d0401": "sha256",  # ecdsa-with-SHA1
    "2a8648ce3d040301": "sha224",
    "2a8648ce3d040302": "sha256",
    "2a8648ce3d040303": "sha384",
    "2a8648ce3d040304": "sha512",
}
HASHES = {
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
    "608648016503040204": "sha224",
}


def bind(certificate: bytes) -> bytes | None:
    """The server's certificate (DER), hashed; None where its signature has no one hash, such as Ed25519."""
    algorithm = find_hash(certificate)
    return hashlib.new(algorithm, certificate).digest() if algorithm else None


def show_fingerprint(certificate: bytes) -> str:
    """Its SHA-256 as `openssl x509 -fingerprint -sha256` prints it."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


def find_hash(certificate: bytes) -> str | None:
    """The name of the hash function; None also for what is no certificate."""
    try:
        outer = _content(certificate, 0)[0]
        _, behind_tbs = _content(outer, 0)
        algorithm, _ = _content(outer, behind_tbs)
        identifier, behind = _content(algorithm, 0)
        if identifier != RSA_PSS:
            return SIGNATURES.get(identifier.hex())
        return _pss_hash(_content(algorithm, behind)[0])
    except IndexError:
        return None


def _pss_hash(parameters: bytes) -> str | None:
    """Of RSASSA-PSS-params: [0] holds the hash function, SHA-1 where it is missing."""
    if parameters[:1] != b"\xa0":
        return "sha256"
    algorithm = _content(_content(parameters, 0)[0], 0)[0]
    return HASHES.get(_content(algorithm, 0)[0].hex(), "sha256")


def _content(data: bytes, at: int) -> tuple[bytes, int]:
    """What the element at this place holds, and where the next one begins. IndexError if it is cut off."""
    length = data[at + 1]
    start = at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise IndexError
    return data[start : start + length], start + length
