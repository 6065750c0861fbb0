"""The section `[tls]`, in PgBouncer's names: what is asked of clients, and of servers whose URL says nothing of it."""

import re
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from dbproxy.config.section import Section, setting
from dbproxy.config.sections import ExistingFile, find_file
from dbproxy.config.url import TlsWish

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
VERIFYING = ("verify-ca", "verify-full")
SERVED = {
    "secure": ("", ""),
    "all": ("", ""),
    "tlsv1.2": ("TLSv1.2", "TLSv1.2"),
    "tlsv1.3": ("TLSv1.3", "TLSv1.3"),
}
DEFAULTS = ("default", "secure")  # of ciphers: OpenSSL's own, as Python has it


def check_protocols(text: str) -> str:
    """PgBouncer's words for versions of TLS, of which those before 1.2 are not served."""
    if not SERVED.keys() >= set(list_protocols(text)):
        raise ValueError("must be secure, all, or of tlsv1.2 and tlsv1.3; older versions are not served")
    return text


def list_protocols(text: str) -> list[str]:
    return [word.strip().lower() for word in re.split("[,: ]+", text) if word.strip()] or ["secure"]


def find_versions(text: str) -> tuple[str, str]:
    """The oldest and the newest version; empty for what OpenSSL has."""
    bounds = [SERVED[word] for word in list_protocols(text)]
    return min(oldest for oldest, _ in bounds), (
        "" if ("", "") in bounds else max(newest for _, newest in bounds)
    )


def find_authorities(value: str) -> str:
    """A file that is there, or `system`."""
    if value != "system":
        find_file(value)
    return value


Authorities = Annotated[str, AfterValidator(find_authorities)]
Protocols = Annotated[str, AfterValidator(check_protocols)]


class TlsSettings(Section):
    """Encryption of connections: [tls.md](tls.md).

    A server's URL (`sslmode`, `sslrootcert`, …) has the last word over `server_tls_…`. The files are read again at each
    reload, whether a setting has changed or not.
    """

    client_tls_sslmode: SslMode = setting(
        "disable",
        "What clients that connect by TCP may and must: `allow` and `prefer` encrypt for who asks, `require` refuses "
        "who does not, `verify-ca` and `verify-full` also who has no certificate of `client_tls_ca_file`.",
    )
    client_tls_cert_file: ExistingFile = setting(
        "", "The proxy's certificate, and those between it and its authority."
    )
    client_tls_key_file: ExistingFile = setting("", "Its private key, not encrypted.")
    client_tls_ca_file: ExistingFile = setting(
        "", "Authorities whose clients' certificates are trusted; with it clients are asked for one."
    )
    client_tls_crl_file: ExistingFile = setting(
        "", "What those authorities have revoked; each of a chain needs a list. PostgreSQL's `ssl_crl_file`."
    )
    client_tls_protocols: Protocols = setting(
        "secure", "Versions of TLS: `secure`, or of `tlsv1.2`, `tlsv1.3`."
    )
    client_tls_ciphers: str = setting("default", "Ciphers of TLS 1.2, as OpenSSL writes them.")
    server_tls_sslmode: SslMode = setting("prefer", "libpq's `sslmode` for servers whose URL has none.")
    server_tls_ca_file: Authorities = setting(
        "", "Authorities that vouch for servers, or `system` for those of the system; libpq's `sslrootcert`."
    )
    server_tls_cert_file: ExistingFile = setting(
        "", "Our certificate for servers that ask for one; libpq's `sslcert`."
    )
    server_tls_key_file: ExistingFile = setting("", "Its private key, not encrypted; libpq's `sslkey`.")
    server_tls_protocols: Protocols = setting("secure", "As `client_tls_protocols`, towards servers.")
    server_tls_ciphers: str = setting("default", "As `client_tls_ciphers`, towards servers.")

    @model_validator(mode="after")
    def is_complete(self) -> Self:
        if self.client_tls_sslmode != "disable" and not (
            self.client_tls_cert_file and self.client_tls_key_file
        ):
            raise ValueError("TLS for clients needs tls.client_tls_cert_file and tls.client_tls_key_file")
        if self.client_tls_sslmode in VERIFYING and not self.client_tls_ca_file:
            raise ValueError(f"client_tls_sslmode={self.client_tls_sslmode} needs tls.client_tls_ca_file")
        if self.client_tls_crl_file and not self.client_tls_ca_file:
            raise ValueError("client_tls_crl_file needs tls.client_tls_ca_file")
        return self

    def complete(self, wish: TlsWish) -> TlsWish:
        """What is wished for, and where nothing is said what this section says."""
        oldest, newest = find_versions(self.server_tls_protocols)
        root = wish.sslrootcert or self.server_tls_ca_file
        own = not wish.sslcert and self.server_tls_cert_file is not None
        return replace(
            wish,
            sslmode=wish.sslmode or self.server_tls_sslmode,
            sslrootcert=root,
            sslcert=str(self.server_tls_cert_file) if own else wish.sslcert,
            sslkey=str(self.server_tls_key_file or "") if own else wish.sslkey,
            ssl_min_protocol_version=wish.ssl_min_protocol_version or oldest,
            ssl_max_protocol_version=wish.ssl_max_protocol_version or newest,
        )


def find_ciphers(text: str) -> str:
    """For OpenSSL; empty for its own."""
    return "" if text in DEFAULTS else text
