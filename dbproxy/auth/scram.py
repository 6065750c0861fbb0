"""SCRAM-SHA-256 (RFC 5802 and 7677) as PostgreSQL speaks it ("SASL Authentication"), also bound to a line.

    SaltedPassword  = PBKDF2(password, salt, iterations)     slow on purpose: milliseconds
    ClientKey       = HMAC(SaltedPassword, "Client Key")     with it one logs in
    StoredKey       = SHA256(ClientKey)                      with it a server checks a login
    ServerKey       = HMAC(SaltedPassword, "Server Key")     with it a server shows that it is no impostor

    client  n,,n=,r=<nonce>                    PostgreSQL ignores this name for the start-up's
    server  r=<nonce><more>,s=<salt>,i=<iterations>
    client  c=biws,r=<nonce><more>,p=<ClientKey XOR HMAC(StoredKey, the three messages)>
    server  v=<HMAC(ServerKey, the three messages)>

A server that checks a proof learns the ClientKey. So a proxy that knows of a user only the verifier (what
PostgreSQL stores) can, once that user has logged in, log in as that user where the same verifier is stored.

This is written over hashlib and not over scramp, which demands what PostgreSQL's clients and servers don't
keep to (a user name that is not empty, a salt of 12 bytes and 4096 iterations or more, a password that
SASLprep accepts), runs PBKDF2 inside the exchange, and keeps the ClientKey to itself.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from dbproxy.auth.saslprep import saslprep
from dbproxy.errors import InvalidAuthorization, ProtocolViolation

MECHANISM = "SCRAM-SHA-256"
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"  # bound to the server's certificate
BOUND = b"p=tls-server-end-point,,"
ITERATIONS = 4096  # PostgreSQL's default (scram_iterations)
MAX_ITERATIONS = 2**31 - 1
MOST_ITERATIONS = 1_000_000  # that we make ourselves: some 0.3 s of one core, which nothing can interrupt
SALT_SIZE = 16
_NONCE = rb"[\x21-\x2b\x2d-\x7e]+"
_EXTENSIONS = rb"(?:,[A-Za-z]=[^,\0]*)*"
_CLIENT_FIRST = re.compile(
    rb"([ny],,|p=tls-server-end-point,,)(n=[^,\0]*,r=(" + _NONCE + rb")" + _EXTENSIONS + rb")"
)
_SERVER_FIRST = re.compile(rb"r=(" + _NONCE + rb"),s=([^,\0]+),i=([1-9][0-9]{0,9})" + _EXTENSIONS)
_CLIENT_FINAL = re.compile(rb"(c=([^,\0]+),r=(" + _NONCE + rb")(?:,[A-Za-oq-z]=[^,\0]*)*),p=([^,\0]+)")
_SERVER_FINAL = re.compile(rb"v=([^,\0]+)" + _EXTENSIONS)
_VERIFIER = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{0,9}):([^$:]+)\$([^$:]+):([^$:]+)")


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server keeps of a password: enough to check a login, not enough to log in."""

    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a client needs to log in to a server whose verifier has this salt and these iterations."""

    salt: bytes = field(repr=False)
    iterations: int
    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def verifier(self) -> Verifier:
        return Verifier(self.salt, self.iterations, hashlib.sha256(self.client_key).digest(), self.server_key)


def derive_keys(password: str, salt: bytes, iterations: int) -> Keys:
    """The slow step: blocks for milliseconds, so it runs in a thread."""
    prepared = saslprep(password).encode("utf-8", "surrogateescape")
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    return Keys(salt, iterations, _hmac(salted, b"Client Key"), _hmac(salted, b"Server Key"))


def parse_verifier(secret: str) -> Verifier | None:
    """The verifier in `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`; None if it is not one."""
    match = _VERIFIER.fullmatch(secret)
    if not match or int(match[1]) > MAX_ITERATIONS:
        return None
    salt, stored_key, server_key = (_unbase64(match[part].encode()) for part in (2, 3, 4))
    if not salt or len(stored_key) != 32 or len(server_key) != 32:
        return None
    return Verifier(salt, int(match[1]), stored_key, server_key)


def make_nonce() -> bytes:
    return base64.b64encode(secrets.token_bytes(18))


def parse_client_first(message: bytes, *, bound: bool = False, offered: bool = False) -> re.Match[bytes]:
    """Groups: the header, the message without it, the nonce.

    `bound`: the client has chosen SCRAM-SHA-256-PLUS; `offered`: it could have. One that could, and believes that it
    could not, was told so by somebody in between.
    """
    kind = message[:1]
    if kind == b"p" and not bound:
        raise _malformed(f"The client selected {MECHANISM} without channel binding, but the SCRAM message includes "
                         "channel binding data.")  # fmt: skip
    if kind in (b"n", b"y") and bound:
        raise _malformed(f"The client selected {MECHANISM_PLUS}, but the SCRAM message does not include channel "
                         "binding data.")  # fmt: skip
    if kind == b"y" and offered:
        raise InvalidAuthorization(
            "SCRAM channel binding negotiation error",
            detail="The client supports SCRAM channel binding but thinks the server does not.  However, this server "
            "does support channel binding.",
        )
    if kind == b"p" and not message.startswith(BOUND):
        raise ProtocolViolation("unsupported SCRAM channel-binding type")
    return _match(_CLIENT_FIRST, message)


def _malformed(why: str) -> ProtocolViolation:
    return ProtocolViolation("malformed SCRAM message", detail=why)


class ServerSide:
    """Checks one login against a verifier; `client_first` is the match of `parse_client_first`."""

    def __init__(
        self, client_first: re.Match[bytes], verifier: Verifier, nonce: bytes, binding: bytes | None = None
    ) -> None:
        """`binding`: what the client must have bound its login to."""
        header, self.bare, client_nonce = client_first.groups()
        self.bound = binding is not None
        self.binding = base64.b64encode(header + (binding or b""))
        self.nonce = client_nonce + nonce
        self.verifier = verifier

    def challenge(self) -> bytes:
        salt = base64.b64encode(self.verifier.salt)
        return b"r=%b,s=%b,i=%d" % (self.nonce, salt, self.verifier.iterations)

    def check(self, client_final: bytes) -> tuple[bytes, Keys] | None:
        """The message that ends the exchange, and the keys shown; None if the proof is wrong."""
        without_proof, binding, nonce, proof_text = _match(_CLIENT_FINAL, client_final).groups()
        proof = _unbase64(proof_text)
        if self.bound and not hmac.compare_digest(binding, self.binding):
            raise InvalidAuthorization("SCRAM channel binding check failed")
        if binding != self.binding or not hmac.compare_digest(nonce, self.nonce) or len(proof) != 32:
            raise ProtocolViolation(
                "malformed SCRAM message", detail="Nonce, channel binding or proof is not valid."
            )
        transcript = b",".join((self.bare, self.challenge(), without_proof))
        client_key = _xor(proof, _hmac(self.verifier.stored_key, transcript))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self.verifier.stored_key):
            return None
        keys = Keys(self.verifier.salt, self.verifier.iterations, client_key, self.verifier.server_key)
        return b"v=" + base64.b64encode(_hmac(keys.server_key, transcript)), keys


class ClientSide:
    """Makes one login; `header`: whether it is bound to the line (BOUND, with the `binding`), or could be (`y,,`)."""

    def __init__(self, nonce: bytes, header: bytes = b"n,,", binding: bytes = b"") -> None:
        self.header = header
        self.binding = base64.b64encode(header + binding)
        self.bare = b"n=,r=" + nonce
        self.nonce = nonce
        self.server_first = b""
        self.signature = b""

    def first(self) -> bytes:
        return self.header + self.bare

    def receive_challenge(self, server_first: bytes) -> tuple[bytes, int]:
        """The salt and iterations that the keys must be derived with."""
        nonce, salt_text, iterations = _match(_SERVER_FIRST, server_first).groups()
        salt = _unbase64(salt_text)
        grown = nonce.startswith(self.nonce) and len(nonce) > len(self.nonce)
        if not grown or not salt or int(iterations) > MAX_ITERATIONS:
            raise ProtocolViolation(
                "malformed SCRAM message", detail="Nonce, salt or iterations are not valid."
            )
        self.nonce, self.server_first = nonce, server_first
        return salt, int(iterations)

    def final(self, keys: Keys) -> bytes:
        without_proof = b"c=" + self.binding + b",r=" + self.nonce
        transcript = b",".join((self.bare, self.server_first, without_proof))
        self.signature = _hmac(keys.server_key, transcript)
        proof = _xor(keys.client_key, _hmac(keys.verifier().stored_key, transcript))
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, server_final: bytes) -> bool:
        """Whether the server has shown that it knows the verifier."""
        return hmac.compare_digest(_unbase64(_match(_SERVER_FINAL, server_final)[1]), self.signature)


def _match(pattern: re.Pattern[bytes], message: bytes) -> re.Match[bytes]:
    match = pattern.fullmatch(message)
    if not match:
        raise ProtocolViolation("malformed SCRAM message")
    return match


def _unbase64(text: bytes) -> bytes:
    """What the text says; nothing if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
