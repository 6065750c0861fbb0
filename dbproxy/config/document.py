"""Writes docs/configuration.md from the settings themselves: `python -m dbproxy.config.document`."""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dbproxy.config.env import HONOURED, MILLISECONDS, SWITCHES
from dbproxy.config.keys import NAMED, name_kind, needs_restart, show_default, walk_keys
from dbproxy.config.otel import NAMES as OTEL
from dbproxy.config.parameters import REFUSED
from dbproxy.config.sections import ReplicaSettings
from dbproxy.config.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m dbproxy.config.document`; change the sentences of the
sections in dbproxy/config: sections.py, routing.py, monitoring.py, tracing.py. -->

Every setting has a default; only `primary.url` must be given. In rising precedence, a setting comes from its
default, the file (`dbproxy serve dbproxy.toml`), the environment, and the command line (`--set pool.size=10`,
repeated at will). `dbproxy check dbproxy.toml` judges them all and names each mistake's line. SIGHUP reads
them again; where *changed by* says restart, the new value waits for the next start.

- Durations are a number and `ms`, `s`, `m`, `h` or `d` (`"100ms"`, `"5m"`); a plain number is seconds.
- Sizes are a whole number and `B`, `KiB`, `MiB` or `GiB` (`"64KiB"`); a plain number is bytes.
- Lists are TOML lists in the file; in the environment and on the command line they are separated by commas.
- `key` of `[section]` is `DBPROXY_SECTION__KEY` in the environment (two underscores), such as
  `DBPROXY_POOL__SIZE=10` for `size` of `[pool]`. A name that starts with `DBPROXY_` and is no setting
  is a mistake.
"""

NAMED_KEYS = """\
## [databases.NAME] and [users.NAME]

What differs for one database or one user; a user's word weighs more than a database's. A database that is not
listed is passed through by its own name to the same hosts. `dbname` is the database's name on
the server, where it is another; the other keys mean what they mean above.
"""


CONNECTION_STRINGS = """\
## Connection strings

A `url` is anything that libpq takes, and what applications have in their `DATABASE_URL`:

    postgresql://user:password@host:5432/db?name=value     also postgres://, and with a driver: postgresql+psycopg2://
    jdbc:postgresql://host:5432/db?user=…&password=…       targetServerType and others by libpq's names
    host=db.internal port=5432 user=app password='a b' dbname=app

Several hosts are separated by commas (`postgresql://a:1,b:2/db`, `host=a,b port=1,2`); what becomes of them is in
[failover.md](failover.md). Differences to libpq: a host that is not said is `localhost`; of several @ the last ends the
login; PGHOST, PGPASSWORD and so on in the environment say nothing to the proxy. No part of a string that cannot be read
is ever shown.
"""

PARAMETERS = {
    "host, hostaddr, port, dbname, user, password": "as libpq; a database is the same on all hosts",
    "passfile": "where the password is if the string has none; otherwise PGPASSFILE, or ~/.pgpass. One that others may "
    "read is not used, and a warning says so. Read again by a reload",
    "service, servicefile": "a section of PGSERVICEFILE or ~/.pg_service.conf, or of PGSYSCONFDIR's; the string weighs "
    "more",
    "options, application_name, fallback_application_name": "what server connections ask for at their start; clients "
    "change it as ever",
    "target_session_attrs, load_balance_hosts": "[failover.md](failover.md)",
    "connect_timeout": "seconds for each host, within `pool.server_connect_timeout`",
    "min_protocol_version, max_protocol_version": "what servers are spoken to in: 3.0 if not told, else 3.2 (`latest`)",
    "keepalives, keepalives_idle, keepalives_interval, keepalives_count, tcp_user_timeout": "of servers' sockets",
    "sslmode and all others about TLS, requiressl, channel_binding, require_auth": "as libpq; JDBC's `ssl=true` is "
    "verify-full, node-postgres' `no-verify` require",
    "client_encoding, sslcompression, authtype, tty": "nothing: the client's own business, or without meaning",
    "a driver's own (`schema`, `pgbouncer`, `connection_limit` …)": "nothing; a warning names them",
}


def write_page() -> str:
    """The whole of docs/configuration.md."""
    sections = [
        _write_section(name, field) for name, field in Settings.model_fields.items() if name not in NAMED
    ]
    return "\n".join(
        [INTRODUCTION, *sections, _write_named(), _write_connection_strings(), _write_environment()]
    )


def _write_section(name: str, field: FieldInfo) -> str:
    model = ReplicaSettings if name == "replicas" else field.annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    title = f"[[{name}]]" if name == "replicas" else f"[{name}]"
    rows = ["| key | takes | default | changed by | |", "|---|---|---|---|---|"]
    rows += [_write_row(key, key_field) for key, key_field in walk_keys(model) if "." not in key]
    inner = [
        _write_section(f"{name}.{key}", inside)
        for key, inside in model.model_fields.items()
        if _is_table(inside)
    ]
    return "\n".join([f"## {title}", "", cleandoc(model.__doc__ or ""), "", *rows, "", *inner])


def _is_table(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _write_row(key: str, field: FieldInfo) -> str:
    default = show_default(field)
    changed = "restart" if needs_restart(field) else "reload"
    shown = f"`{default}`" if default else "empty"
    return f"| `{key}` | {name_kind(field)} | {shown} | {changed} | {field.description} |"


def _write_named() -> str:
    rows = ["| in | keys |", "|---|---|"]
    for section, model in NAMED.items():
        keys = ", ".join(f"`{key}`" for key, _ in walk_keys(model))
        rows.append(f"| `[{section}.NAME]` | {keys} |")
    return "\n".join([NAMED_KEYS, *rows, ""])


def _write_connection_strings() -> str:
    rows = ["| parameter | here |", "|---|---|"]
    rows += [f"| {names} | {meaning} |" for names, meaning in PARAMETERS.items()]
    for name, (harmless, advice) in REFUSED.items():
        but = f", unless it is {' or '.join(harmless)}" if harmless else ""
        rows.append(f"| {name} | refused{but}: {advice} |")
    return "\n".join([CONNECTION_STRINGS, *rows, ""])


def _write_environment() -> str:
    return "\n".join(["## Other names in the environment", "", *_write_variables(), ""])


def _write_variables() -> Iterator[str]:
    yield "These are honoured too, below `DBPROXY_…`; an empty one counts as not set."
    yield ""
    yield from ("| name | sets |", "|---|---|")
    for name, key in HONOURED.items():
        unit = (
            ", in milliseconds" if name in MILLISECONDS else ", to `on` or `off`" if name in SWITCHES else ""
        )
        yield f"| `{name}` | `{key}`{unit} |"
    yield f"| {', '.join(f'`{name}`' for name in OTEL)} | `[tracing]`, as OpenTelemetry's specification says |"


if __name__ == "__main__":
    PAGE.write_text(write_page())
