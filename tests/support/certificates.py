"""Certificates for tests: an authority of this run, and who it vouches for. Debian's PostgreSQL that speaks TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dbproxy.demo.installation import account, installations
from dbproxy.demo.postgres import HOST, Postgres, create_primary
from tests.support.postgres import PASSWORD, connect

DAY = timedelta(days=1)
NAME = "db.test"  # in the servers' certificates, beside localhost and its addresses
# Who must, and who must not, come encrypted; who shows a certificate; who may choose.
RULES = (
    "hostssl   all only_tls   127.0.0.1/32 scram-sha-256",
    "hostnossl all only_plain 127.0.0.1/32 scram-sha-256",
    "hostssl   all with_cert  127.0.0.1/32 cert",
    "host      all only_tls   all          reject",
    "host      all only_plain all          reject",
    "host      all with_cert  all          reject",
    "host      all app        127.0.0.1/32 scram-sha-256",
    "host      all app_md5    127.0.0.1/32 md5",
)
USERS = ("only_tls", "only_plain", "with_cert", "app", "app_md5")


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files; `chain` ends at the authority, which is not in it."""

    chain: Path
    key: Path


class Authority:
    """Vouches for whom it issued a certificate; its own is in `path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.path = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.path)
        self.count = 0

    def issue(
        self, *names: str, common_name: str | None = None, key_type: trustme.KeyType = trustme.KeyType.RSA
    ) -> Certificate:
        issued = self.ca.issue_cert(*names, common_name=common_name, key_type=key_type)
        self.count += 1
        chain, key = self.folder / f"{self.count}.pem", self.folder / f"{self.count}.key"
        chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return Certificate(chain, key)

    def revoke(self, *certificates: Certificate) -> Path:
        """A list of these."""
        now, own = datetime.now(UTC), x509.load_pem_x509_certificate(self.path.read_bytes())
        building = x509.CertificateRevocationListBuilder().issuer_name(own.subject)
        building = building.last_update(now - DAY).next_update(now + DAY)
        for certificate in certificates:
            number = x509.load_pem_x509_certificate(certificate.chain.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY)
            building = building.add_revoked_certificate(entry.build())
        key = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.count += 1
        path = self.folder / f"{self.count}.crl"
        path.write_bytes(building.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def issue_server(self) -> Certificate:
        return self.issue(NAME, "localhost", HOST)

    def issue_client(self, user: str) -> Certificate:
        return self.issue(f"{user}@app.test", common_name=user)


@contextmanager
def tls_postgres(authority: Authority, **settings: str | int | bool) -> Iterator[Postgres]:
    """With a certificate of the authority, and users for each rule of `RULES`; skips where Debian's is missing."""
    found = [installation for installation in installations() if installation.name.startswith("debian")]
    if not found:
        pytest.skip("Debian's PostgreSQL, which can TLS, is not installed (apt-get install postgresql)")
    with create_primary(
        installation=found[0], hba=RULES, settings={"max_connections": 100, **settings}
    ) as server:
        encrypt(server, authority)
        with connect(server) as connection:
            for user in USERS:
                kind = "md5" if user == "app_md5" else "scram-sha-256"
                connection.execute(f"SET password_encryption = '{kind}'")
                connection.execute(f"CREATE USER {user} PASSWORD '{PASSWORD}'")
        yield server


def encrypt(server: Postgres, authority: Authority) -> None:
    """Let it speak TLS from now on."""
    certificate = authority.issue_server()
    files = {
        "ssl_cert_file": certificate.chain,
        "ssl_key_file": certificate.key,
        "ssl_ca_file": authority.path,
    }
    server.settings.update({key: str(lend(server, path)) for key, path in files.items()}, ssl=True)
    server.restart()


def lend(server: Postgres, path: Path) -> Path:
    """A copy that the account may read under which PostgreSQL and PgBouncer run, and nobody else."""
    copy = server.socket_dir / path.name
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o600)
    account().own(copy)
    return copy
