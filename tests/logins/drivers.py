"""Drivers of real applications, each trying a list of logins: in, or out with which words."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg

from tests.support.certificates import Certificate

JAR = Path("/usr/share/java/postgresql.jar")
IN = "in"
TIMEOUT = 100


@dataclass(frozen=True)
class Login:
    """`host` is a folder for a Unix socket. `mode`: of tests.logins.place.MODES; `shows`: its certificate."""

    user: str
    password: str
    host: str
    port: int
    mode: str
    shows: bool


@dataclass(frozen=True)
class Keys:
    """What a client has: whom it trusts, and its own certificate; for Java the key in DER."""

    authority: Path
    own: Certificate
    der: Path


Driver = Callable[[Sequence[Login], Keys, Path], list[str]]


def conninfo(login: Login, keys: Keys) -> dict[str, str]:
    """In libpq's words."""
    encrypted = login.mode not in ("plain", "unix")
    said = {
        "host": login.host, "port": str(login.port), "user": login.user, "password": login.password,
        "dbname": "postgres", "gssencmode": "disable", "connect_timeout": "10",
        "sslmode": "verify-full" if encrypted else "disable",
    }  # fmt: skip
    if encrypted:
        said["sslrootcert"] = str(keys.authority)
    if login.mode == "bound":
        said["channel_binding"] = "require"
    if login.shows and encrypted:
        said |= {"sslcert": str(keys.own.chain), "sslkey": str(keys.own.key)}
    return said


def together(ask: Callable[[Login], str], logins: Sequence[Login]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(ask, logins))


def by_psql(logins: Sequence[Login], keys: Keys, folder: Path) -> list[str]:
    def ask(login: Login) -> str:
        text = " ".join(f"{name}='{value}'" for name, value in conninfo(login, keys).items())
        done = subprocess.run(
            ["psql", "-XAtc", "SELECT 1", text], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        return IN if done.returncode == 0 else done.stderr

    return together(ask, logins)


def by_psycopg(logins: Sequence[Login], keys: Keys, folder: Path) -> list[str]:
    def ask(login: Login) -> str:
        try:
            with psycopg.connect(**conninfo(login, keys)) as connection:  # type: ignore[arg-type]
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return str(error)
        return IN

    return together(ask, logins)


def by_asyncpg(logins: Sequence[Login], keys: Keys, folder: Path) -> list[str]:
    async def ask(login: Login) -> str:
        context: ssl.SSLContext | bool = False
        if login.mode == "tls":
            context = ssl.create_default_context(cafile=keys.authority)
            if login.shows:
                context.load_cert_chain(keys.own.chain, keys.own.key)
        try:
            connection = await asyncpg.connect(
                host=login.host, port=login.port, user=login.user, password=login.password, database="postgres",
                ssl=context,
            )  # fmt: skip
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return str(error)
        await connection.close()
        return IN

    async def ask_all() -> list[str]:
        return [await ask(login) for login in logins]

    return asyncio.run(ask_all())


NODE = """
const { Client } = require('pg');
const fs = require('fs');
const { logins, ca, cert, key } = JSON.parse(fs.readFileSync(process.argv[2]));
const read = path => fs.readFileSync(path).toString();
(async () => {
  const found = [];
  for (const login of logins) {
    const encrypted = login.mode === 'tls' || login.mode === 'bound';
    const ssl = encrypted && { ca: read(ca), ...(login.shows ? { cert: read(cert), key: read(key) } : {}) };
    const client = new Client({ host: login.host, port: login.port, user: login.user, password: login.password,
      database: 'postgres', ssl, enableChannelBinding: login.mode === 'bound' });
    client.on('error', () => {});
    try { await client.connect(); await client.query('SELECT 1'); await client.end(); found.push('in'); }
    catch (error) { found.push(error.message); client.end().catch(() => {}); }
  }
  console.log(JSON.stringify(found));
  process.exit(0);
})();
"""


def tell(logins: Sequence[Login], keys: Keys, folder: Path) -> Path:
    """A file, for programs of other languages."""
    path = folder / "logins.json"
    path.write_text(
        json.dumps({
            "logins": [vars(login) for login in logins], "ca": str(keys.authority), "cert": str(keys.own.chain),
            "key": str(keys.own.key),
        })
    )  # fmt: skip
    return path


def by_node(logins: Sequence[Login], keys: Keys, folder: Path) -> list[str]:
    script = folder / "logins.js"
    script.write_text(NODE)
    done = subprocess.run(
        ["node", script, tell(logins, keys, folder)], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT,
        check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


JAVA = """
import java.nio.file.*;
import java.sql.*;
import java.util.*;

public class Logins {
    public static void main(String[] arguments) throws Exception {
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] parts = line.split("\\t", -1);
            Properties said = new Properties();
            for (int i = 1; i + 1 < parts.length; i += 2) said.setProperty(parts[i], parts[i + 1]);
            try (Connection connection = DriverManager.getConnection(parts[0], said)) {
                connection.createStatement().execute("SELECT 1");
                System.out.println("in");
            } catch (SQLException error) {
                System.out.println(error.getMessage().replace("\\n", " "));
            }
        }
    }
}
"""


def by_jdbc(logins: Sequence[Login], keys: Keys, folder: Path) -> list[str]:
    lines = []
    for login in logins:
        said = {"user": login.user, "password": login.password, "sslmode": "disable", "loginTimeout": "10"}
        if login.mode == "tls":
            said |= {"sslmode": "verify-full", "sslrootcert": str(keys.authority)}
            # Its own default would be another's file.
            said |= (
                {"sslcert": str(keys.own.chain), "sslkey": str(keys.der)}
                if login.shows
                else {"sslcert": "/none"}
            )
        parts = [part for item in said.items() for part in item]
        lines.append("\t".join([f"jdbc:postgresql://{login.host}:{login.port}/postgres", *parts]))
    (folder / "logins.txt").write_text("\n".join(lines))
    program = folder / "Logins.java"
    program.write_text(JAVA)
    command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", JAR, program, folder / "logins.txt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


DRIVERS: Mapping[str, Driver] = {
    "psql": by_psql, "psycopg": by_psycopg, "asyncpg": by_asyncpg, "node-postgres": by_node, "JDBC": by_jdbc,
}  # fmt: skip
# What a driver cannot be told: to bind its login, or to use a Unix socket.
UNABLE = {("asyncpg", "bound"), ("JDBC", "bound"), ("JDBC", "unix")}


def list_missing() -> list[str]:
    """What has to be installed for all of them."""
    programs = [name for name in ("psql", "node", "npm", "javac", "openssl") if not shutil.which(name)]
    return [*programs, *([] if JAR.exists() else ["libpostgresql-jdbc-java"])]


def make_der(key: Path, der: Path) -> None:
    command = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", key, "-out", der]
    subprocess.run(command, check=True, capture_output=True, env=os.environ)
