"""We log in to a server, with what we know of the user's password.

the server asks for     we need
nothing (trust)         nothing
password                the password
md5                     the password, or what PostgreSQL stores of it for md5
SCRAM                   the password, or the keys that the user has shown us when he logged in by SCRAM
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from dbproxy.auth import md5, scram
from dbproxy.auth.exchange import KeyCache, Request, Work
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Secret
from dbproxy.errors import ConfigurationError, ProtocolViolation, ServerRefused

Credentials = Secret | Keys | None


@dataclass(frozen=True, slots=True)
class Line:
    """What the login may be bound to: `binding`, the hash of the server's certificate; libpq's `channel_binding`."""

    encrypted: bool = False
    binding: bytes | None = field(default=None, repr=False)
    channel_binding: str = "prefer"

    @property
    def can_bind(self) -> bool:
        return self.encrypted and self.binding is not None and self.channel_binding != "disable"


PLAIN = Line()


@dataclass(frozen=True, slots=True)
class Answer:
    """Send a password message ('p') with this payload."""

    payload: bytes = field(repr=False)


class ServerLogin:
    """One login of `user` to a server; `server` says which, in errors."""

    def __init__(
        self,
        user: str,
        server: str,
        credentials: Credentials,
        keys: KeyCache,
        nonce: bytes = b"",
        line: Line = PLAIN,
    ) -> None:
        self.user = user
        self.server = server
        self.done = False  # AuthenticationOk has come
        self._credentials = credentials
        self._keys = keys
        self._line = line
        self._bound = False
        self._side = scram.ClientSide(nonce or scram.make_nonce())
        self._answers: dict[int, Callable[[bytes], Answer | Work[Answer] | None]] = {
            Request.OK: self._finish,
            Request.CLEARTEXT_PASSWORD: self._send_password,
            Request.MD5_PASSWORD: self._send_md5,
            Request.SASL: self._start_sasl,
        }

    def receive(self, code: int, data: bytes) -> Answer | Work[Answer] | None:
        """The answer to an Authentication request (None: there is none to send).

        Raises ConfigurationError if what we know of the user is no answer to what is asked, ServerRefused if
        the server does not know the password either, ProtocolViolation if it makes no sense.
        """
        answer = self._answers.get(code)
        if answer is None:
            raise self._unexpected(code)
        if self._line.channel_binding == "require" and code < Request.SASL and not self._bound:
            raise self._unbound("asks for another method of authentication" if code else "asks for none")
        return answer(data)

    def _finish(self, _: bytes) -> None:
        self.done = True
        self._answers = {}

    def _send_password(self, _: bytes) -> Answer:
        return Answer(self._password("password").encode("utf-8", "surrogateescape") + b"\0")

    def _send_md5(self, salt: bytes) -> Answer:
        if len(salt) != 4:
            raise ProtocolViolation(f"{self.server} sent a malformed AuthenticationMD5Password message")
        if isinstance(self._credentials, Secret) and self._credentials.kind == "md5":
            secret = self._credentials.value
        else:
            secret = md5.make_md5_secret(self.user, self._password("md5"))
        return Answer(md5.answer_challenge(secret, salt).encode() + b"\0")

    def _start_sasl(self, mechanisms: bytes) -> Answer:
        offered = mechanisms.decode("ascii", "replace").split("\0")
        mechanism = self._choose(offered)
        if mechanism not in offered:
            raise ConfigurationError(
                f'{self.server} offers user "{self.user}" no SASL mechanism that we know',
                hint=f"Let it offer {scram.MECHANISM} (pg_hba.conf: scram-sha-256).",
            )
        if not isinstance(self._credentials, Keys):
            self._password("scram-sha-256")
        self._answers = {Request.SASL_CONTINUE: self._prove}
        first = self._side.first()
        return Answer(mechanism.encode() + b"\0" + len(first).to_bytes(4, "big") + first)

    def _choose(self, offered: list[str]) -> str:
        """Bind the login to the line where both sides can, and tell the server if only we could (RFC 5802, 6)."""
        line = self._line
        if scram.MECHANISM_PLUS in offered and not line.encrypted:
            raise ProtocolViolation(
                f"{self.server} offered {scram.MECHANISM_PLUS} authentication over a non-SSL connection"
            )
        self._bound = line.can_bind and scram.MECHANISM_PLUS in offered
        if self._bound and line.binding is not None:
            self._side = scram.ClientSide(self._side.nonce, scram.BOUND, line.binding)
            return scram.MECHANISM_PLUS
        if line.channel_binding == "require":
            raise self._unbound(
                f"does not offer {scram.MECHANISM_PLUS}" if line.encrypted else "is not encrypted"
            )
        if line.can_bind:
            self._side = scram.ClientSide(self._side.nonce, b"y,,")
        return scram.MECHANISM

    def _unbound(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"channel binding is required, but {self.server} {why}",
            hint=f"Let it offer {scram.MECHANISM_PLUS} (pg_hba.conf: hostssl … scram-sha-256), or use "
            "channel_binding=prefer.",
        )

    def _prove(self, server_first: bytes) -> Answer | Work[Answer]:
        salt, iterations = self._side.receive_challenge(server_first)
        self._answers = {Request.SASL_FINAL: self._verify}
        keys = self._credentials
        if not isinstance(keys, Keys):
            if iterations > scram.MOST_ITERATIONS:  # a thread would be busy for minutes
                raise ConfigurationError(
                    f"{self.server} asks for {iterations} iterations of SCRAM; "
                    f"more than {scram.MOST_ITERATIONS} are not made",
                    hint="Lower that server's scram_iterations, and set the password again.",
                )
            return self._keys.use(self._password("scram-sha-256"), salt, iterations, self._send_proof)
        if (keys.salt, keys.iterations) != (salt, iterations):
            raise ConfigurationError(
                f'{self.server} stores another SCRAM verifier for user "{self.user}" than the one we have',
                hint="Put that server's pg_authid.rolpassword into the file of users, or the password.",
            )
        return self._send_proof(keys)

    def _send_proof(self, keys: Keys) -> Answer:
        return Answer(self._side.final(keys))

    def _verify(self, server_final: bytes) -> None:
        if not self._side.verify(server_final):
            raise ServerRefused(
                f'{self.server} does not know the password of user "{self.user}": is it an impostor?'
            )
        self._answers = {Request.OK: self._finish}

    def _password(self, method: str) -> str:
        if isinstance(self._credentials, Secret) and self._credentials.kind == "plain":
            return self._credentials.value
        raise ConfigurationError(
            f'{self.server} asks user "{self.user}" for {method} authentication, but {self._known()}',
            hint="Give the proxy the user's password: in auth.file, under [users.NAME] or in the URL.",
        )

    def _known(self) -> str:
        if self._credentials is None:
            return "no secret of that user is known"
        if isinstance(self._credentials, Keys):
            return "only the keys of a SCRAM login are known"
        if self._credentials.kind == "scram-sha-256":
            return "only a SCRAM secret is known, which serves once the user has logged in to us by SCRAM"
        return "only an md5 secret is known"

    def _unexpected(self, code: int) -> ProtocolViolation | ConfigurationError:
        if Request.SASL not in self._answers or code in (Request.SASL_CONTINUE, Request.SASL_FINAL):
            return ProtocolViolation(f"{self.server} sent authentication request {code} out of turn")
        return ConfigurationError(
            f'{self.server} asks user "{self.user}" for an authentication method unknown to us ({code})',
            hint="Use scram-sha-256, md5, password or trust for it in pg_hba.conf.",
        )
