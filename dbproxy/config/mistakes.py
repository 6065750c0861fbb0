"""What is wrong with what was written, in the operator's words.

One line for each mistake: `dbproxy.toml:12: pool.size = "many": must be a whole number, such as 50`. What may
hold a password (a URL, the value of an unknown key) is hidden or left out.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from dbproxy.config.env import MILLISECONDS, PREFIX, SWITCHES, name_variable
from dbproxy.config.keys import NAMED, show, walk_keys
from dbproxy.config.otel import SAMPLERS
from dbproxy.config.secrecy import HIDDEN, may_hold_secret, show_key
from dbproxy.config.settings import Settings
from dbproxy.config.tls import TlsSettings
from dbproxy.config.toml import FROM_PGBOUNCER
from dbproxy.config.written import Path, Written, dotted

_PLAIN_PATH = re.compile(r"[\w/.~+-]+")  # of a file, which may be called after the password in it
_ADVICE = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "literal_error": "must be {expected}",
    "extra_forbidden": "there is no such key",
    "greater_than": "must be more than {limit}",
    "greater_than_equal": "must be at least {limit}",
    "less_than_equal": "must be at most {limit}",
    "value_error": "{error}",
}
# Variables whose words are others than those of the key that they set.
OF_VARIABLES = {
    **dict.fromkeys(SWITCHES, "must be true or false"),
    "OTEL_TRACES_SAMPLER": f"must be one of {', '.join(SAMPLERS)}",
}
# PgBouncer's names, which people bring along.
_RENAMED = {
    "auth_dbname": "auth.dbname",
    "auth_file": "auth.file",
    "auth_hba_file": "auth.hba_file",
    "auth_ident_file": "auth.ident_file",
    "auth_query": "auth.query",
    "auth_type": "auth.type",
    "auth_user": "auth.user",
    "default_pool_size": "pool.size",
    "listen_addr": "listen.host",
    "listen_backlog": "listen.backlog",
    "listen_port": "listen.port",
    "log_connections": "log.connections",
    "max_packet_size": "listen.max_message_size",
    "pool_mode": "pool.mode",
    "pool_size": "pool.size",
    "reserve_pool": "pool.reserve_size",
    "reserve_pool_size": "pool.reserve_size",
    "reserve_pool_timeout": "pool.reserve_timeout",
}
_RENAMED |= {name: f"tls.{name}" for name in TlsSettings.model_fields}
_RENAMED["log_disconnections"] = "log.connections"
# Names of PgBouncer's that say nothing here.
_LEFT_OUT = {
    "connect_query": "what it sets say options in the URL, ALTER ROLE … SET or ALTER DATABASE … SET",
    "ignore_startup_parameters": "all start-up parameters hold here",
    "track_extra_parameters": "all settings of a session are kept here",
    "server_reset_query_always": "pool.server_reset_query is for session mode alone",
    "logfile": "the log goes to standard error",
    **dict.fromkeys(("client_tls_dheparams", "client_tls_ecdhcurve"), "OpenSSL's own choice holds"),
    **dict.fromkeys(("client_tls13_ciphers", "server_tls13_ciphers"), "OpenSSL's own choice holds"),
    **dict.fromkeys(("tcp_keepalive", "tcp_keepcnt", "tcp_keepidle", "tcp_keepintvl"), "of servers the URL says it"),
    **dict.fromkeys(("job_name", "service_name", "syslog", "syslog_facility", "syslog_ident"), "there is no syslog"),
    **dict.fromkeys(
        ("disable_pqexec", "dns_nxdomain_ttl", "dns_zone_check_period", "log_pooler_errors", "log_stats", "peer_id",
         "pidfile", "pkt_buf", "resolv_conf", "sbuf_loopcnt", "server_fast_close", "server_round_robin", "so_reuseport",
         "stats_period", "suspend_timeout", "tcp_defer_accept", "tcp_socket_buffer", "unix_socket_group", "verbose"),
        "there is no such thing here",
    ),
}  # fmt: skip
_IN_THE_URL = ("host", "port", "user", "password", "dbname")


def explain(error: ErrorDetails, written: Written) -> str:
    """The line for one of pydantic's errors."""
    path: Path = error["loc"]
    origin = written.origin_of(path)
    if error["type"] == "extra_forbidden":
        shown = show_key(dotted(path))
        return f"{origin}: {shown}: unknown key{'' if shown == HIDDEN else suggest(path, origin)}"
    value = written.value_of(path, otherwise=error["input"])  # the input is what a validator made of it
    milliseconds = origin in MILLISECONDS and error["type"] == "value_error"
    advice = (
        "must be a number of milliseconds, such as 100"
        if milliseconds
        else OF_VARIABLES.get(origin) or advise(error)
    )
    return f"{origin}: {show_key(dotted(path))}{_show_value(path, value)}: {advice}"


def suggest(path: Path, origin: str) -> str:
    """Where an unknown key belongs, or what it was meant to be."""
    name = str(path[-1])
    if path == ("pgbouncer",):
        return f"; {FROM_PGBOUNCER}"
    if name in _LEFT_OUT:
        return f"; leave it out: {_LEFT_OUT[name]}"
    if name in _RENAMED:
        return f", did you mean {_spell(_RENAMED[name], origin)}?"
    if name in _IN_THE_URL and path[0] in ("primary", "replicas", "databases"):
        return "; it is part of the url: postgresql://user:password@host:5432/dbname"
    if len(path) > 2 and path[0] in NAMED and name in Settings.model_fields:
        return f"; [{name}] is for all, and cannot differ for one of [{path[0]}]"
    known = _list_known(path)
    elsewhere = [key for key in known if key.rpartition(".")[2] == name]
    if elsewhere:
        return f"; it belongs in {' or '.join(_spell(key, origin) for key in elsewhere)}"
    close = get_close_matches(dotted(path), [*known, *_list_sections(path)], n=1, cutoff=0.7)
    return (
        f", did you mean {_spell(close[0], origin)}?" if close else "; `docs/configuration.md` lists all keys"
    )


def advise(error: ErrorDetails) -> str:
    """What would be right."""
    kind = error["type"]
    if kind in ("model_type", "dict_type"):
        return f"must be a table, written [{dotted(error['loc'])}]"
    if kind == "tuple_type":
        return f"must be a list of tables, each written [[{dotted(error['loc'])}]]"
    context = error.get("ctx", {})
    if kind not in _ADVICE:
        return error["msg"]
    return _ADVICE[kind].format_map({"limit": _show_limit(error["loc"], context)} | context)


def _show_limit(path: Path, context: Mapping[str, Any]) -> str:
    """The limit that was passed, in the key's own unit."""
    field = dict(walk_keys()).get(dotted(path[-2:]))
    limit = context.get("ge", context.get("le", context.get("gt")))
    return show(field, limit) if field and limit is not None else str(limit)


def _show_value(path: Path, value: object) -> str:
    """` = "value"`, with nothing in it that may be a password; nothing for a table or list."""
    if not isinstance(value, str | bool | int | float):
        return ""
    is_path = str(path[-1]).endswith("file") and _PLAIN_PATH.fullmatch(str(value))
    secret = path[-1] in ("url", "token", "endpoint", "headers", "password") or (
        isinstance(value, str) and (path[-1] == "replicas" or (may_hold_secret(value) and not is_path))
    )
    return f" = {json.dumps(HIDDEN if secret else value, ensure_ascii=False)}"


def _list_known(path: Path) -> list[str]:
    """The keys that may have been meant: under [databases.NAME] that database's own, then everybody's."""
    own: list[str] = []
    if len(path) > 2 and path[0] in NAMED:
        own = [f"{path[0]}.{path[1]}.{key}" for key, _ in walk_keys(NAMED[str(path[0])])]
        if any(key.rpartition(".")[2] == path[-1] for key in own):
            return own
    return own + [key for key, _ in walk_keys()]


def _list_sections(path: Path) -> list[str]:
    return list(Settings.model_fields) if len(path) == 1 else []


def _spell(key: str, origin: str) -> str:
    return f"{key} ({name_variable(key)})" if origin.startswith(PREFIX) else key
