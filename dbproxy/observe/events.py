"""What each event of the log means. Where it is logged, at which level and with which keys the code itself says.

`python -m dbproxy.observe.events` writes the table of docs/observability.md anew.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "observability.md"
BEGIN = "<!-- events: written by `python -m dbproxy.observe.events` -->\n"
END = "<!-- events: end -->\n"

EVENTS = {
    "LISTEN failed": "the listening connection was refused a channel",
    "cancel failed": "a cancel request could not be delivered; that server is closed, not lent",
    "cancel sent": "a cancel request goes to this server",
    "cannot accept a connection": "no file descriptor is left, or no memory; tried again after a pause",
    "catalog not read": "which functions and views are reads could not be found out; what was known stays",
    "catalog read": "what the database defines itself is known, in so many `entries`",
    "client disconnected": "with `reason`, `age` in seconds, and the ids of a request that was open; off by "
    "`log.connections = false`",
    "client left": "gone before it was let in (port scanners, health checks by TCP)",
    "client login": "let in; off by `log.connections = false`",
    "client pinned": "a client keeps its `server` beyond the transaction, for this `reason`",
    "client refused": "not let in, with `sqlstate` and `error`: wrong password, too many clients, no server …",
    "client unpinned": "a client keeps its server no longer for this `reason`",
    "clients waited in vain": "so many of a pool were `refused`, as no server became free in time or too many "
    "waited (`limit`: `query_wait_timeout`, `max_waiting`); `holders`: who has held one longest",
    "commits are not told apart: the server does not say where its WAL ends": "this user may not ask for it "
    "(`pg_current_wal_insert_lsn`): [routing.md](routing.md)",
    "configuration": "a setting is valid, but does not do what one may think",
    "console command": "what an administrator has ordered",
    "console login": "somebody is on the console",
    "currval and lastval pin: the server does not say what sequences gave out": "the user lacks the language plpgsql",
    "functions not read": "`pg_proc` could not be read again; what was known of the database's functions stays",
    "gate failed": "what a request was to wait for has failed; it was refused",
    "host cannot tell all": "the probe's user may not ask for everything",
    "host down": "it is given nothing until it answers again",
    "host fenced: it takes writes, but is not the primary": "stop it, and bring it back as a replica: "
    "[failover.md](failover.md)",
    "host is another server": "it was restarted, or its name leads elsewhere now",
    "host lagging": "it is too far behind to be read from",
    "host {state}": "`host up`, `host starting` …: the states of [failover.md](failover.md)",
    "internal error": "a bug of ours, with its traceback: please report it",
    "no plan": "PostgreSQL would not plan a slow query; `sqlstate` says why",
    "not known whether settings were altered": "PostgreSQL could not be asked; logins go on with what was known",
    "plan put off": "a slow query's plan was not asked for, as its servers were needed; the next one's is",
    "plugin switched off": "the routing plugin has failed or is slow",
    "primary found": "writes go on, after `lost_for` seconds",
    "primary lost": "writes and logins wait",
    "probe answered": "a host has said what it is",
    "probe keeps its old connection": "the host has no room for a new one",
    "probe refused": "the host does not let the probe's user in",
    "proxy started": "where it listens, and whether the hot modules are compiled",
    "proxy stopped": "the end of a run",
    "proxy stopping": "no new clients; transactions may end",
    "read rescued": "a replica could not answer it, and another `host` does; its client sees nothing of it",
    "reload failed": "the settings in force stay; `error` says which is bad",
    "reloaded": "what has changed, and what waits for a restart",
    "replica has other settings": "these cannot be evened out: configure it as its primary ([routing.md](routing.md))",
    "replica lags": "it is behind, and still read from",
    "request refused": "it failed by an error of ours (`query_wait_timeout`, a pin that is forbidden …)",
    "server closed": "with `reason`: `server_idle_timeout`, `server_lifetime`, `connection lost` …",
    "server connected": "a connection to PostgreSQL is there",
    "server does not tell its settings": "what it gives to new sessions is not known",
    "server error": "PostgreSQL ended a connection (FATAL): shut down, terminated by an administrator",
    "server login failed": "with PostgreSQL's own words where it gave some",
    "servers wanted": "so many connections are opened",
    "setting changed": "by SET on the console, until the next RELOAD",
    "setting not understood": "a session's `dbproxy.…` has a value that it cannot have; the strictest is done",
    "settings were altered": "new sessions get other values of these `settings`: the connections are replaced",
    "slow queries not logged": "of so many only a sample was logged; `longest_ms` is the longest of the others",
    "slow query": "over `slow_query.threshold`; `wait_ms` and `run_ms` are its parts; without literals",
    "slow query plan": "what PostgreSQL would do for it, without literals (`slow_query.explain`)",
    "snapshot of queries not written": "`query_stats.state_dir` cannot be written to; it is tried again with the next",
    "statement goes to the primary from now on: replicas failed to answer it": "too often; [routing.md](routing.md)",
    "task failed": "as `internal error`",
    "the slow build runs": "the hot modules are not compiled: install with a C compiler",
    "too few file descriptors": "raise the limit, or lower `pool.max_client_conn`",
    "transactions cut off": "`pool.shutdown_timeout` was over with so many clients still there",
}  # fmt: skip
_LEVELS = ("debug", "info", "warning", "error", "exception")


@dataclass(slots=True)
class Logged:
    """One event as the code logs it."""

    areas: set[str] = field(default_factory=set)
    levels: set[str] = field(default_factory=set)


def find_events(folder: Path = ROOT / "dbproxy") -> dict[str, Logged]:
    """What the code logs, by event."""
    found: dict[str, Logged] = {}
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        area = _area_of(tree, path.relative_to(folder).parts[0])
        for event, level in _calls(tree):
            logged = found.setdefault(event, Logged())
            logged.areas.add(area)
            logged.levels.add("error" if level == "exception" else level)
    return found


def write_table() -> str:
    rows = ["| event | area | level | means |", "|---|---|---|---|"]
    for event, logged in sorted(find_events().items(), key=lambda item: item[0].lower()):
        areas, levels = ", ".join(sorted(logged.areas)), ", ".join(sorted(logged.levels))
        rows.append(f"| `{event}` | {areas} | {levels} | {EVENTS.get(event, '')} |")
    return "\n".join(rows) + "\n"


def write_page(page: str) -> str:
    """The page with the table between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{write_table()}\n{END}{tail}"


def _area_of(tree: ast.Module, package: str) -> str:
    """Its package, unless its logger is another's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "structlog.get_logger" and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and str(name.value).startswith("dbproxy."):
                return str(name.value).split(".")[1]
    return package


def _calls(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The event and the method of each line that is logged."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if node.func.attr in _LEVELS and ast.unparse(node.func.value) in ("log", "self.logger"):
            first = node.args[0]
            event = first.value if isinstance(first, ast.Constant) else ast.unparse(first)[2:-1]
            yield str(event), node.func.attr


if __name__ == "__main__":
    PAGE.write_text(write_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
