"""TLS for a run: the same certificate for PostgreSQL, PgBouncer and dbproxy, and TLS on every line, on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme

from dbproxy.demo.installation import account
from dbproxy.demo.postgres import HOST, Postgres

LIBPQ = {"PGSSLMODE": "require"}  # what pgbench and psql are told


@dataclass(frozen=True)
class Certificate:
    """Files that PostgreSQL's account may read, and root may."""

    chain: Path
    key: Path

    def for_pgbouncer(self) -> Mapping[str, object]:
        return {**self.for_clients(), "client_tls_sslmode": "require", "server_tls_sslmode": "require"}

    def for_clients(self) -> Mapping[str, object]:
        """In PgBouncer's words: a client that asks for TLS has it."""
        files = {"client_tls_cert_file": self.chain, "client_tls_key_file": self.key}
        return {"client_tls_sslmode": "allow", **files}

    def for_proxy(self) -> Mapping[str, str]:
        return in_our_words(self.for_pgbouncer())


def in_our_words(settings: Mapping[str, object]) -> Mapping[str, str]:
    return {f"DBPROXY_TLS__{key.upper()}": str(value) for key, value in settings.items()}


def issue(primary: Postgres) -> Certificate:
    issued = trustme.CA().issue_cert("localhost", HOST, key_type=trustme.KeyType.RSA)
    certificate = Certificate(primary.socket_dir / "own.pem", primary.socket_dir / "own.key")
    issued.cert_chain_pems[0].write_to_path(certificate.chain)
    issued.private_key_pem.write_to_path(certificate.key)
    for path in (certificate.chain, certificate.key):
        path.chmod(0o600)
        account().own(path)
    return certificate


def encrypt(primary: Postgres) -> Certificate:
    """Let PostgreSQL speak TLS from now on."""
    certificate = issue(primary)
    files = {"ssl_cert_file": str(certificate.chain), "ssl_key_file": str(certificate.key)}
    primary.settings.update(files, ssl=True)
    primary.restart()
    return certificate
