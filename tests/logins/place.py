"""A server and a proxy for every login there can be: one user for each pair of methods, a proxy for each way of TLS."""

import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dbproxy.auth.md5 import make_md5_secret
from dbproxy.demo.installation import installations
from dbproxy.demo.postgres import create_primary
from tests.logins.drivers import DRIVERS, IN, UNABLE, Keys, Login, make_der
from tests.support.certificates import Authority, encrypt
from tests.support.node import install
from tests.support.postgres import connect
from tests.support.proxy import Proxy
from tests.support.serving import OUR_FAULTS

PASSWORD = "sesame-42"
# How a client logs in, and what the proxy has of its password.
CLIENTS = {
    "scram-sha-256": "verifier",
    "scram-sha-256, password known": "password",
    "md5": "hash",
    "password": "verifier",
    "trust": "",
    "cert": "",
    "peer": "",
}
SERVERS = ("scram-sha-256", "md5", "password", "trust", "cert")
MODES = {
    "plain": "no TLS on either side",
    "tls": "TLS on both sides, certificates verified",
    "bound": "TLS, and `channel_binding=require` on both sides",
    "unix": "clients by Unix socket, servers without TLS",
}
SERVER_MODE = {"plain": "disable", "tls": "verify-full", "bound": "verify-full", "unix": "disable"}


@dataclass(frozen=True, order=True)
class Cell:
    mode: str
    client: str
    server: str
    driver: str


def user_for(client: str, server: str) -> str:
    return re.sub(r"\W+", "_", f"c_{client}_s_{server}")


PAIRS = [(client, server) for client in CLIENTS for server in SERVERS]


def list_cells(mode: str) -> list[tuple[str, str]]:
    return [pair for pair in PAIRS if mode == "unix" or pair[0] != "peer"]


def rule(client: str) -> str:
    return client.partition(",")[0]


def server_rules() -> list[str]:
    lines = []
    for client, server in PAIRS:
        user = user_for(client, server)
        kind, option = ("hostssl", " map=any") if server == "cert" else ("host", "")
        lines.append(f"{kind} all {user} 127.0.0.1/32 {server}{option}")
        lines.append(f"host all {user} 127.0.0.1/32 reject")
    return lines


def client_rules() -> str:
    lines = []
    for client, server in PAIRS:
        user, method = user_for(client, server), rule(client)
        if method == "peer":
            lines.append(f"local all {user} peer map=me")
        elif method == "cert":
            lines.append(f"hostssl all {user} all cert map=certs")
        else:
            lines += [f"local all {user} {method}", f"host all {user} all {method}"]
    return "\n".join(lines) + "\n"


@contextmanager
def open_place(folder: Path) -> Iterator["Place"]:
    authority = Authority(folder)
    found = [installation for installation in installations() if installation.name.startswith("debian")]
    with create_primary(
        installation=found[0], hba=server_rules(), settings={"max_connections": 100}
    ) as server:
        maps = server.data_dir / "pg_ident.conf"
        maps.write_text("".join(f"any proxy {user_for(*pair)}\n" for pair in PAIRS))
        encrypt(server, authority)
        with connect(server) as connection:
            for client, method in PAIRS:
                user = user_for(client, method)
                kind = "md5" if method == "md5" else "scram-sha-256"
                connection.execute(f"SET password_encryption = '{kind}'")
                connection.execute(f"CREATE USER {user} PASSWORD '{PASSWORD}'")
            stored = "SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin"
            secrets = dict(connection.execute(stored).fetchall())
            connection.execute("SET password_encryption = 'scram-sha-256'")
            connection.execute(f"CREATE USER other PASSWORD '{PASSWORD}'")
            row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'other'").fetchone()
        own = authority.issue_client("anybody")
        make_der(own.key, folder / "own.der")
        install(folder, "pg")
        yield Place(
            folder,
            authority,
            server.port,
            secrets,
            str(row[0]),
            Keys(authority.path, own, folder / "own.der"),
        )  # type: ignore[index]


@dataclass
class Place:
    """`secrets`: what the server stores of each user; `other`: a verifier of the same password that it does not."""

    folder: Path
    authority: Authority
    port: int
    secrets: dict[str, str]
    other: str
    keys: Keys

    def kept(self, client: str, server: str) -> str:
        """What the proxy has of this user's password."""
        user, kind = user_for(client, server), CLIENTS[client]
        stored = self.secrets[user]
        if kind == "password":
            return PASSWORD
        if kind == "hash":
            return make_md5_secret(user, PASSWORD)
        return stored if stored.startswith("SCRAM") else self.other

    def run(self) -> dict[Cell, str]:
        found: dict[Cell, str] = {}
        for mode in MODES:
            with self.serve(mode) as proxy:
                for driver, ask in DRIVERS.items():
                    if (driver, mode) in UNABLE:
                        continue
                    pairs = list_cells(mode)
                    logins = [self.login(mode, proxy, *pair) for pair in pairs]
                    for (client, server), outcome in zip(
                        pairs, ask(logins, self.keys, self.folder), strict=True
                    ):
                        found[Cell(mode, client, server, driver)] = tidy(outcome)
                assert PASSWORD not in proxy.log()
                assert not [line for line in proxy.log_lines() if line["event"] in OUR_FAULTS]
        return found

    def login(self, mode: str, proxy: Proxy, client: str, server: str) -> Login:
        method = rule(client)
        knows = method not in ("trust", "peer", "cert")
        host = str(self.folder) if mode == "unix" else "localhost"
        return Login(
            user_for(client, server), PASSWORD if knows else "", host, proxy.port, mode, method == "cert"
        )

    @contextmanager
    def serve(self, mode: str) -> Iterator[Proxy]:
        files = {
            "pg_hba.conf": client_rules(),
            "pg_ident.conf": f"me {getpass.getuser()} all\ncerts anybody all\n",
            "users.txt": "".join(
                f'"{user_for(*pair)}" "{self.kept(*pair)}"\n' for pair in PAIRS if CLIENTS[pair[0]]
            ),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)
        (self.folder / "users.txt").chmod(0o600)
        shown, own = self.authority.issue_client("proxy"), self.authority.issue_server()
        said = {"sslmode": SERVER_MODE[mode]}
        if mode in ("tls", "bound"):
            said |= {
                "sslrootcert": str(self.authority.path),
                "sslcert": str(shown.chain),
                "sslkey": str(shown.key),
            }
        if mode == "bound":
            said["channel_binding"] = "require"
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items())
        settings = {
            "auth.type": "hba",
            "auth.hba_file": self.folder / "pg_hba.conf",
            "auth.ident_file": self.folder / "pg_ident.conf",
            "auth.file": self.folder / "users.txt",
            "listen.unix_socket_dir": self.folder,
            "tls.client_tls_sslmode": "allow",
            "tls.client_tls_cert_file": own.chain,
            "tls.client_tls_key_file": own.key,
            "tls.client_tls_ca_file": self.authority.path,
            "pool.size": 1,
            "pool.reserve_size": 0,
            "pool.follow_defaults": False,
            "pool.server_login_retry": "0s",
            "log.flood_limit": 0,
        }
        url = f"postgresql://localhost:{self.port}/postgres?{query}"
        with Proxy(url, settings=settings) as proxy:
            yield proxy


_AHEAD = re.compile(r"^.*?(?:FATAL:\s*|failed: )", re.DOTALL)
_REST = re.compile(r"\s*(?:\n|Hint: |HINT: |DETAIL: |Detail: ).*", re.DOTALL)


def tidy(outcome: str) -> str:
    """The words without who said them, where and of whom."""
    if outcome == IN:
        return IN
    text = outcome.strip()
    while (shorter := _AHEAD.sub("", text, count=1)) != text:
        text = shorter
    text = _REST.sub("", text)
    text = re.sub(r"c_\w+_s_\w+", "…", text)
    text = re.sub(r"(127\.0\.0\.1|localhost|\[?::1\]?)(:\d+)?", "…", text)
    return text.strip().removeprefix("…: ")
