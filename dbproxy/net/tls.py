"""What TLS is asked of a line: towards servers as libpq's sslmode means it, from clients as PgBouncer's.

                towards a server                                    from a client
disable         plain                                               an SSLRequest is answered N
allow           plain; TLS if the server refuses that login         whoever asks for TLS has it
prefer          TLS; plain if the server has none, the handshake    as allow
                fails or the server refuses that login
require         TLS                                                 who does not ask for TLS is refused
verify-ca       TLS, and an authority that we trust vouches for it  TLS, with a certificate that is vouched for
verify-full     … for a server of this name                         as verify-ca

Towards servers a certificate is verified whenever there is an authority to go by (sslrootcert, or
~/.postgresql/root.crt), whatever the mode, as by libpq. What a reload changes holds for new lines.
"""

import re
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from dbproxy.errors import ConfigurationError

ALPN = "postgresql"
HOME = Path("~/.postgresql")  # where libpq looks for what is not said
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
DEMANDING = ("require", "verify-ca", "verify-full")
VERIFYING = ("verify-ca", "verify-full")
_SOURCE = re.compile(r"^\[\w+\] | \(_ssl\.c:\d+\)$")


class HandshakeFailed(OSError):
    """A line could not be encrypted as it has to be; the message says why, and holds no secret."""


@dataclass(slots=True)
class Handshakes:
    """How many there were, and how many of them failed."""

    done: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Files:
    """What identifies one side, and by whom it trusts the other: paths, `` for none."""

    certificate: str = ""
    key: str = ""
    authorities: str = ""  # or `system`
    revoked: str = ""
    newest: str = ""  # version of TLS
    oldest: str = ""
    ciphers: str = ""


@dataclass(frozen=True)
class ServerTls:
    """How lines to the server of this name are encrypted; `direct`: from the first byte on, without an SSLRequest."""

    mode: str
    name: str
    context: ssl.SSLContext = field(repr=False, compare=False)
    direct: bool = False
    sni: bool = True
    channel_binding: str = "prefer"
    handshakes: Handshakes = field(default_factory=Handshakes, repr=False, compare=False)

    @property
    def begins_encrypted(self) -> bool:
        return self.mode not in ("disable", "allow")

    @property
    def may_be_plain(self) -> bool:
        return self.mode not in DEMANDING

    def as_before(self, *, encrypted: bool) -> Self:
        """For a line that must be as the one before was: a cancel request's."""
        return replace(self, mode="require" if encrypted else "disable")

    def after_refusal(self, *, encrypted: bool) -> Self | None:
        """Another way, where the server refuses a login of this one; None if there is none."""
        if self.mode == ("prefer" if encrypted else "allow"):
            return self.as_before(encrypted=not encrypted)
        return None


@dataclass(frozen=True)
class ClientTls:
    """How clients' lines are encrypted. `binding`: what their logins may be bound to, of our certificate.

    `fingerprint`: the certificate's SHA-256 as `openssl x509 -fingerprint` prints it.
    """

    mode: str
    context: ssl.SSLContext = field(repr=False)
    binding: bytes | None = field(repr=False)
    fingerprint: str = ""
    handshakes: Handshakes = field(default_factory=Handshakes, repr=False, compare=False)

    @property
    def is_demanded(self) -> bool:
        return self.mode in DEMANDING


def make_client_context(files: Files, mode: str) -> ssl.SSLContext:
    """For lines from clients. ConfigurationError if a file does not serve."""
    context = _begin(ssl.PROTOCOL_TLS_SERVER, files)
    context.num_tickets = 0  # a line is for long: nobody resumes
    if files.authorities:
        trust(context, files)
        context.verify_mode = ssl.CERT_REQUIRED if mode in VERIFYING else ssl.CERT_OPTIONAL
    return context


def make_server_context(files: Files, mode: str, certmode: str = "allow") -> ssl.SSLContext:
    """For lines to servers; what the files don't say is looked for where libpq does."""
    context = _begin(ssl.PROTOCOL_TLS_CLIENT, _complete(files, certmode))
    context.check_hostname = False
    authorities = files.authorities or _at_home("root.crt")
    if not authorities and mode in VERIFYING:
        raise ConfigurationError(
            f'root certificate file "{(HOME / "root.crt").expanduser()}" does not exist',
            hint="Name it by sslrootcert or tls.server_tls_ca_file, use sslrootcert=system for the system's, or "
            "change sslmode.",
        )
    if files.revoked and not authorities:
        raise ConfigurationError(
            f'revocation list "{files.revoked}" is for nothing: there is no authority to verify certificates by',
            hint="Name it by sslrootcert or tls.server_tls_ca_file.",
        )
    if authorities:
        at_home = _at_home("root.crl") if authorities != "system" else ""
        trust(context, replace(files, authorities=authorities, revoked=files.revoked or at_home))
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = mode == "verify-full"
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


def _complete(files: Files, certmode: str) -> Files:
    """With the certificate and key that libpq would show a server; it shows none where there is none."""
    if certmode == "disable":
        return replace(files, certificate="", key="")
    certificate = files.certificate or _at_home("postgresql.crt")
    if certmode == "require" and not certificate:
        raise ConfigurationError("sslcertmode is require, and there is no certificate: name it by sslcert")
    return replace(files, certificate=certificate, key=files.key or _at_home("postgresql.key"))


def _at_home(name: str) -> str:
    try:
        path = (HOME / name).expanduser()
        return str(path) if path.is_file() else ""
    except (OSError, RuntimeError):  # there is no home, or it is not ours
        return ""


def _begin(protocol: int, files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = VERSIONS.get(files.oldest, ssl.TLSVersion.TLSv1_2)
    if files.newest:
        context.maximum_version = VERSIONS[files.newest]
    # A client that renegotiates costs much more than it pays; and compression tells secrets by their length.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.set_alpn_protocols([ALPN])
    if files.ciphers:
        try:
            context.set_ciphers(files.ciphers)
        except ssl.SSLError:
            raise ConfigurationError(f'OpenSSL knows no cipher "{files.ciphers}"') from None
    if files.certificate:
        load_key(context, files.certificate, files.key)
    return context


def load_key(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Take the certificate and its key. ConfigurationError names the file at fault."""
    encrypted = False

    def refuse() -> str:
        nonlocal encrypted
        encrypted = True
        return ""

    read_bytes(certificate, "certificate")
    read_bytes(key or certificate, "private key")
    try:
        context.load_cert_chain(certificate, key or None, password=refuse)
    except (ssl.SSLError, ValueError, OSError) as error:
        if encrypted:
            reason = f'private key "{key or certificate}" is encrypted, and there is nobody to ask for its password'
            hint = "Decrypt it, such as by `openssl pkey -in KEY -out PLAIN`, and let nobody else read it."
        else:
            reason = (
                f'certificate "{certificate}" with key "{key or certificate}" cannot be used: {say(error)}'
            )
            hint = "Both must be PEM, and the key that of the certificate, which comes first in its file."
        raise ConfigurationError(reason, hint=hint) from None


def trust(context: ssl.SSLContext, files: Files) -> None:
    """Go by these authorities, and by what they have revoked."""
    if files.authorities == "system":
        context.load_default_certs(
            ssl.Purpose.SERVER_AUTH
        )  # and those of SSL_CERT_FILE and SSL_CERT_DIR, as libpq
    else:
        load_verifying(context, files.authorities, "certificate authorities")
    if files.revoked:
        load_verifying(context, files.revoked, "revocation list")
        if not context.cert_store_stats()["crl"]:
            raise ConfigurationError(f'"{files.revoked}" holds no revocation list in PEM')
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def load_verifying(context: ssl.SSLContext, file: str, what: str) -> None:
    read_bytes(file, what)
    try:
        context.load_verify_locations(file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f'"{file}" holds nothing to verify certificates by: {say(error)}') from None


def read_own(file: str) -> bytes:
    """The first certificate of a file, in DER: the one that is shown."""
    text = read_bytes(file, "certificate").decode("ascii", "replace")
    begin, end = text.find("-----BEGIN CERTIFICATE-----"), text.find("-----END CERTIFICATE-----")
    if begin < 0 or end < begin:
        raise ConfigurationError(f'"{file}" holds no certificate in PEM')
    return ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----")


def read_bytes(file: str, what: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f'{what} "{file}" cannot be read: {error.strerror}') from None


def say(error: BaseException) -> str:
    """An error of OpenSSL in words, without the line of its source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return _SOURCE.sub("", str(getattr(error, "strerror", None) or error))
