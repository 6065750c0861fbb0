"""A client logs in to us.

An unknown user must not be told from a wrong password, neither by what is said nor by how long it takes. So
such a login goes through the same exchange against a *mock* verifier that no password fits (PostgreSQL's "mock
authentication"), whose salt is the same each time, as a real one's is. Its keys are not derived: a flood of
made-up names costs little. So that a known user's first login does not show by the time of it that there is
such a user, the keys of all are derived before anybody asks (`prepare`).
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dbproxy.auth import md5, scram
from dbproxy.auth.exchange import KeyCache, Request, Work
from dbproxy.auth.scram import Keys, Verifier
from dbproxy.auth.users import Secret, Users
from dbproxy.errors import InvalidPassword, ProtocolViolation

AuthType = Literal["trust", "password", "md5", "scram-sha-256"]


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send Authentication `code` with `payload`; what the client answers is for `receive`."""

    code: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Done:
    """The client has shown who it is: send `last` if there is one, then AuthenticationOk.

    `keys` is what it has shown of its password: by SCRAM what is good for logging in where the same verifier is stored,
    by `password` all of it.
    """

    last: Challenge | None = None
    keys: Keys | Secret | None = field(default=None, repr=False)


Step = Challenge | Done | Work[Challenge] | Work[Done]


class ClientLogin(Protocol):
    """One client's login; a failed one raises InvalidPassword or ProtocolViolation and is over."""

    def start(self) -> Challenge | Done: ...

    def receive(self, payload: bytes) -> Step:
        """`payload`: of the client's answer ('p'), whatever message that is."""
        ...


def choose_method(auth_type: AuthType, secret: Secret | None, usual: AuthType = "md5") -> AuthType:
    """How this user logs in: `md5` becomes SCRAM for one of whom only a SCRAM verifier is known.

    Under `md5`, one who is not known logs in as is `usual` for those who are.
    """
    if auth_type != "md5":
        return auth_type
    if secret is None:
        return usual
    return "scram-sha-256" if secret.kind == "scram-sha-256" else "md5"


def find_usual(users: Users) -> AuthType:
    """How most of these users log in under `md5`."""
    verifiers = sum(secret.kind == "scram-sha-256" for secret in users.values())
    return "scram-sha-256" if 2 * verifiers > len(users) else "md5"


class Authenticator:
    """Begins logins; one for a process, whose `mock_key` nobody else knows."""

    def __init__(self, keys: KeyCache, mock_key: bytes = b"") -> None:
        self.keys = keys
        self.usual: AuthType = "md5"
        self._mock_key = mock_key or secrets.token_bytes(32)

    def begin(
        self,
        auth_type: AuthType,
        user: str,
        secret: Secret | None,
        binding: bytes | None = None,
        usual: AuthType | None = None,
    ) -> ClientLogin:
        """The login of `user`, of whom `secret` is known (None: there is no such user).

        `binding`: the hash of the certificate that the client was shown (tls-server-end-point); None without one.
        `usual`: the method of those who are known there, if not that of all.
        """
        method = choose_method(auth_type, secret, usual or self.usual)
        if method == "trust":
            return TrustLogin()
        if method == "password":
            return PasswordLogin(user, secret, self._salt(user))
        if method == "md5":
            return Md5Login(user, secret or Secret("plain", self._mock("password", user).hex()))
        return ScramLogin(user, lambda step: self._with_verifier(user, secret, step), binding=binding)

    def prepare(self, user: str, secret: Secret) -> None:
        """Derive now what this user's login by SCRAM will need: blocks for milliseconds, so it runs in a thread."""
        if secret.kind == "plain":
            self.keys.derive(secret.value, self._salt(user), scram.ITERATIONS)

    def _with_verifier(
        self, user: str, secret: Secret | None, step: Callable[[Verifier], Challenge]
    ) -> Challenge | Work[Challenge]:
        if secret is not None and secret.kind == "plain":
            salt = self._salt(user)
            return self.keys.use(secret.value, salt, scram.ITERATIONS, lambda keys: step(keys.verifier()))
        stored = scram.parse_verifier(secret.value) if secret is not None else None
        return step(stored or self._mock_verifier(user))

    def _mock_verifier(self, user: str) -> Verifier:
        stored_key, server_key = self._mock("stored key", user), self._mock("server key", user)
        return Verifier(self._salt(user), scram.ITERATIONS, stored_key, server_key)

    def _salt(self, user: str) -> bytes:
        return self._mock("salt", user)[: scram.SALT_SIZE]

    def _mock(self, purpose: str, user: str) -> bytes:
        return hmac.digest(self._mock_key, f"{purpose}:{user}".encode("utf-8", "surrogateescape"), "sha256")


class TrustLogin:
    def start(self) -> Done:
        return Done()

    def receive(self, payload: bytes) -> Step:
        raise ProtocolViolation("the client answers an authentication request that was not sent")


def is_too_slow(secret: Secret) -> bool:
    """Whether to check a password against it would hold up all other logins."""
    stored = scram.parse_verifier(secret.value) if secret.kind == "scram-sha-256" else None
    return stored is not None and stored.iterations > scram.MOST_ITERATIONS


class PasswordLogin:
    """The client sends the password itself. Keys are derived of it whoever the user is, so that all take as long."""

    def __init__(self, user: str, secret: Secret | None, salt: bytes) -> None:
        """`salt` is of the keys where there is no verifier.

        Users choose how many iterations theirs takes: with one that takes too many nobody is let in.
        """
        self.user = user
        self._secret = None if secret is None or is_too_slow(secret) else secret
        self._stored = scram.parse_verifier(self._secret.value) if self._secret is not None else None
        self._salt = salt

    def start(self) -> Challenge:
        return Challenge(Request.CLEARTEXT_PASSWORD)

    def receive(self, payload: bytes) -> Work[Done]:
        if not payload.endswith(b"\0") or b"\0" in payload[:-1]:
            raise ProtocolViolation("invalid password packet size")
        if payload == b"\0":
            raise InvalidPassword("empty password returned by client")
        return Work(lambda: self._check(payload[:-1]))

    def _check(self, password: bytes) -> Done:
        text = password.decode("utf-8", "surrogateescape")
        stored = self._stored
        salt, iterations = (stored.salt, stored.iterations) if stored else (self._salt, scram.ITERATIONS)
        keys = scram.derive_keys(text, salt, iterations)
        if stored is not None:
            fits = hmac.compare_digest(keys.verifier().stored_key, stored.stored_key)
        else:
            fits = self._secret is not None and self._secret.fits(self.user, text)
        if not fits:
            raise _refuse(self.user)
        return Done(keys=Secret("plain", text))


class Md5Login:
    def __init__(self, user: str, secret: Secret, salt: bytes = b"") -> None:
        self.user = user
        self._secret = secret.value if secret.kind == "md5" else md5.make_md5_secret(user, secret.value)
        self.salt = salt or secrets.token_bytes(4)

    def start(self) -> Challenge:
        return Challenge(Request.MD5_PASSWORD, self.salt)

    def receive(self, payload: bytes) -> Step:
        if not payload.endswith(b"\0") or b"\0" in payload[:-1]:
            raise ProtocolViolation("invalid password packet size")
        expected = md5.answer_challenge(self._secret, self.salt).encode()
        if not hmac.compare_digest(payload[:-1], expected):
            raise _refuse(self.user)
        return Done()


class ScramLogin:
    """`with_verifier` calls a function with the user's verifier, now or as Work."""

    def __init__(
        self,
        user: str,
        with_verifier: Callable[[Callable[[Verifier], Challenge]], Challenge | Work[Challenge]],
        nonce: bytes = b"",
        binding: bytes | None = None,
    ) -> None:
        self.user = user
        self._binding = binding
        self._bound = False
        self._with_verifier = with_verifier
        self._nonce = nonce or scram.make_nonce()
        self._side: scram.ServerSide | None = None
        self._receive: Callable[[bytes], Step] = self._receive_initial

    def start(self) -> Challenge:
        offered = [scram.MECHANISM_PLUS] if self._binding is not None else []
        return Challenge(Request.SASL, "\0".join([*offered, scram.MECHANISM, "", ""]).encode())

    def receive(self, payload: bytes) -> Step:
        return self._receive(payload)

    def _receive_initial(self, payload: bytes) -> Step:
        """SASLInitialResponse: the mechanism, and the first message or the wish to send it later."""
        mechanism, _, rest = payload.partition(b"\0")
        size = int.from_bytes(rest[:4], "big", signed=True)
        if len(rest) < 4 or size < -1 or len(rest) - 4 != max(size, 0):
            raise ProtocolViolation("malformed SASLInitialResponse message")
        self._bound = self._binding is not None and mechanism == scram.MECHANISM_PLUS.encode()
        if not self._bound and mechanism != scram.MECHANISM.encode():
            raise ProtocolViolation("client selected an invalid SASL authentication mechanism")
        self._receive = self._receive_first
        return Challenge(Request.SASL_CONTINUE) if size < 0 else self._receive(rest[4:])

    def _receive_first(self, message: bytes) -> Challenge | Work[Challenge]:
        client_first = scram.parse_client_first(message, bound=self._bound, offered=self._binding is not None)

        def challenge(verifier: Verifier) -> Challenge:
            self._side = scram.ServerSide(
                client_first, verifier, self._nonce, self._binding if self._bound else None
            )
            return Challenge(Request.SASL_CONTINUE, self._side.challenge())

        self._receive = self._receive_final
        return self._with_verifier(challenge)

    def _receive_final(self, message: bytes) -> Done:
        assert self._side is not None, "the Work of the step before was not run"
        shown = self._side.check(message)
        if shown is None:
            raise _refuse(self.user)
        signature, keys = shown
        return Done(Challenge(Request.SASL_FINAL, signature), keys)


def _refuse(user: str) -> InvalidPassword:
    return InvalidPassword(f'password authentication failed for user "{user}"')
