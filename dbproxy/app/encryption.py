"""TLS as it is set up now: towards clients, and towards each server. Made anew, of files read anew, at each reload."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from dbproxy.cluster.server_tls import make_server_tls
from dbproxy.config import Host, Settings
from dbproxy.config.tls import TlsSettings, find_ciphers, find_versions
from dbproxy.config.url import TlsWish
from dbproxy.errors import ConfigurationError
from dbproxy.net.certificate import bind, show_fingerprint
from dbproxy.net.tls import (
    ClientTls,
    Files,
    Handshakes,
    ServerTls,
    make_client_context,
    read_own,
)


class Encryption:
    """Of one `Settings`. `handshakes` are counted from start to stop, over reloads."""

    def __init__(self, settings: Settings, before: Self | None = None) -> None:
        """ConfigurationError, with the key, if a file that any host or client needs does not serve."""
        self.tls = settings.tls
        self.by_clients: Handshakes = before.by_clients if before is not None else Handshakes()
        self.by_us: Handshakes = before.by_us if before is not None else Handshakes()
        self.servers: dict[tuple[TlsWish, str], ServerTls | None] = {}
        with naming("tls"):
            self.clients = make_clients(settings.tls, self.by_clients)
        for key, host in settings.hosts().items():
            with naming(key):
                self.towards(host)

    def towards(self, host: Host) -> ServerTls | None:
        """How to encrypt lines to this server; None for a Unix socket, and where it is not to be."""
        key = (host.tls, host.host)
        if key not in self.servers:
            self.servers[key] = make_server_tls(host, self.tls, self.by_us)
        return self.servers[key]

    def count(self) -> dict[tuple[str, str], int]:
        """Handshakes since the start, by side and outcome."""
        sides = (("client", self.by_clients), ("server", self.by_us))
        return {
            (side, outcome): getattr(counts, outcome)
            for side, counts in sides
            for outcome in ("done", "failed")
        }


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Whose setting it is that is wrong."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {error.message}", hint=error.hint) from None


def make_clients(tls: TlsSettings, handshakes: Handshakes) -> ClientTls | None:
    """None where clients are not encrypted."""
    if tls.client_tls_sslmode == "disable":
        return None
    oldest, newest = find_versions(tls.client_tls_protocols)
    certificate = str(tls.client_tls_cert_file)
    files = Files(
        certificate,
        str(tls.client_tls_key_file),
        str(tls.client_tls_ca_file or ""),
        str(tls.client_tls_crl_file or ""),
        oldest=oldest,
        newest=newest,
        ciphers=find_ciphers(tls.client_tls_ciphers),
    )
    context = make_client_context(files, tls.client_tls_sslmode)
    own = read_own(certificate)
    return ClientTls(tls.client_tls_sslmode, context, bind(own), show_fingerprint(own), handshakes)
