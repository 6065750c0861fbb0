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
    "addresses of a name changed": "a server's name has lost an address; so many `servers` at one that it has no "
    "more are closed once they are free",
    "batch cannot see the server's pressure": "the primary does not answer what a batch asks it before a chunk, "
    "with `error`; WAL, slots, maintenance and snapshots are not heeded",
    "batch chunk failed": "with what `follows` from its `sqlstate`: it is tried again, halved, waited with",
    "batch could not analyze": "the table's statistics are those of before the batch",
    "batch could not count a retry": "the ledger was not to be had; only the number is missing there",
    "batch could not note what it waits for": "the ledger was not to be had; `status` shows what was there before",
    "batch could not vacuum": "dead rows stay until autovacuum comes; the batch goes on",
    "batch did not note its end": "the ledger was not to be had; the batch is shown as `interrupted`",
    "batch does not heed a query that fails": "`setting` is `throttle.query` or `critical_query`; told once a minute",
    "batch keeps its settings": "one that was set while it ran is not understood, for this `reason`",
    "batch sees no replicas and no snapshots of others": "its role is no member of `pg_monitor`; they are not heeded",
    "batches not read": "the ledger of a `database` cannot be read, with `error`; told once",
    "cancel failed": "a cancel request could not be delivered; that server is closed, not lent",
    "cancel sent": "a cancel request goes to this server",
    "cannot accept a connection": "no file descriptor is left, or no memory; tried again after a pause",
    "cache hint not understood": "a comment in a statement that is to say how its answer is kept; it is not kept",
    "cache invalidated": "somebody has had answers that were kept be forgotten",
    "cache mismatch": "an answer that was kept is not what the server says: a mistake of ours. The statement is not "
    "answered so any more; what it depends on that was not seen is to be found",
    "cache rule not understood": "one of `cache.rules` vouches for what the database does not have",
    "catalog not read": "which functions and views are reads could not be found out; what was known stays",
    "catalog read": "what the database defines itself is known, in so many `entries`",
    "client disconnected": "with `reason`, `age` in seconds, and the ids of a request that was open; off by "
    "`log.connections = false`",
    "client left": "gone before it was let in (port scanners, health checks by TCP)",
    "client login": "let in; off by `log.connections = false`",
    "client pinned": "a client keeps its `server` beyond the transaction, for this `reason`",
    "client refused": "not let in, with `sqlstate` and `error`: wrong password, too many clients, no server …; "
    "`detail` has also what the client is not told: whether there is such a user, and the line that decided",
    "client unpinned": "a client keeps its server no longer for this `reason`",
    "clients wait for a server": "for as long as has the reserve opened (`pool.reserve_timeout`), or for a second "
    "while servers are pinned; `holders`: who has held one longest. Every 30 s while it lasts",
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
    "host fenced: it takes writes, but is not the primary": "an old primary, to be brought back "
    "as a replica, or a URL that leads to a server of another cluster: "
    "[failover.md](failover.md)",
    "host is another server": "it was restarted, or its name leads elsewhere now",
    "host lagging": "it is too far behind to be read from",
    "host {state}": "`host up`, `host starting` …: the states of [failover.md](failover.md)",
    "internal error": "a bug of ours, with its traceback: please report it",
    "limit reset": "a key has the tier again that it has by the configuration or the source",
    "limit set": "an administrator holds a `key` of a `rule` to another `limit`; `holds` says for how long",
    "limit reached": "`limit` is the setting; of server connections once a minute, and `held` is who has how many; "
    "else with the client that was over it",
    "hottest statements not written": "`cache.state_dir` is not a folder that can be written to; tried again",
    "kept answers are not shared": "Redis does not answer in time; what is not kept here is asked of servers. "
    "Once a minute",
    "kept answers are shared by Redis": "it answers",
    "position not read": "how far the primary's WAL is could not be asked; until then Redis is not asked for answers",
    "limits are decided without Redis": "it does not answer in time; each proxy holds its clients to its share of the "
    "limits, of so many `proxies`. Once a minute",
    "limits are shared by Redis": "it answers, to so many `proxies`",
    "statements to fetch not read": "`cache.warm_file`, or one line of it; the others are fetched",
    "not fetched": "an answer that was to be kept before anybody asks could not be had",
    "no plan": "PostgreSQL would not plan a slow query; `sqlstate` says why",
    "not known whether settings were altered": "PostgreSQL could not be asked; logins go on with what was known",
    "plan put off": "a slow query's plan was not asked for, as its servers were needed; the next one's is",
    "plugin switched off": "the routing plugin has failed or is slow",
    "primary found": "writes go on, after `lost_for` seconds",
    "primary lost": "writes and logins wait",
    "probe answered": "a host has said what it is",
    "probe has no password": "the file or command of its user gives none, for this `reason`",
    "probe keeps its old connection": "the host has no room for a new one",
    "probe refused": "the host does not let the probe's user in",
    "proxy started": "where it listens, and whether the hot modules are compiled",
    "proxy stopped": "the end of a run",
    "proxy stopping": "no new clients; transactions may end",
    "read rescued": "a replica could not answer it, and another `host` does; its client sees nothing of it",
    "reload failed": "the settings in force stay; `error` says which is bad",
    "reloaded": "what has changed, and what waits for a restart; `certificate`: what clients are shown, if it is new",
    "replica does not answer": "neither a read nor the probe behind it: reads go elsewhere until it does",
    "replica has other settings": "these cannot be evened out: configure it as its primary ([routing.md](routing.md))",
    "replica lags": "it is behind, and still read from",
    "replication login": "let in, for replication of this `mode`: a server of its own",
    "request refused": "it failed by an error of ours (`query_wait_timeout`, a pin that is forbidden …); by a limit: "
    "with `rule`, `key` and `tier`, one line a second for each key, and `more` for the others",
    "server closed": "with `reason`: `server_idle_timeout`, `server_lifetime`, `connection lost` …",
    "server connected": "a connection to PostgreSQL is there",
    "server does not tell its settings": "what it gives to new sessions is not known",
    "server error": "PostgreSQL ended a connection (FATAL): shut down, terminated by an administrator",
    "server login failed": "with PostgreSQL's own words where it gave some",
    "servers wanted": "so many connections are opened",
    "service manager not told": "systemd's NOTIFY_SOCKET cannot be reached; said once until it can, and told then",
    "setting changed": "by SET on the console, until the next RELOAD",
    "setting not understood": "a session's `dbproxy.…` has a value that it cannot have; the strictest is done",
    "settings were altered": "new sessions get other values of these `settings`: the connections are replaced",
    "slow queries not logged": "of so many only a sample was logged; `longest_ms` is the longest of the others",
    "slow query": "over `slow_query.threshold`; `wait_ms` and `run_ms` are its parts; without literals",
    "slow query plan": "what PostgreSQL would do for it, without literals (`slow_query.explain`)",
    "snapshot not read": "whether what was committed can be seen by all could not be found out; tried again, and until "
    "then answers that depend on it are not given",
    "snapshot of queries not written": "`query_stats.state_dir` cannot be written to; it is tried again with the next",
    "spans exported again": "the collector takes them once more",
    "spans not exported": "with `error` and `hint`; said once until it works again",
    "statement goes to the primary from now on: replicas failed to answer it": "too often; [routing.md](routing.md)",
    "task failed": "as `internal error`",
    "the file of bad lines cannot be written": "of a load; they are in dbproxy.batch_errors all the same",
    "the proxy answers": "to a batch that had asked in vain",
    "the proxy does not answer: how the application does is not known": "a batch heeds neither pools nor p95, and "
    "asks the servers itself; told once",
    "the slow build runs": "the hot modules are not compiled: install with a C compiler",
    "tiers not read": "the `source` of a rule cannot be read; what was read stays, said once until it can",
    "tiers read": "the `source` of a rule has told so many `keys`; said for the first time, and when something is new",
    "too few file descriptors": "raise the limit, or lower `pool.max_client_conn`",
    "transactions cut off": "`pool.shutdown_timeout` was over with so many clients still there",
    "users cannot be looked up": "`auth.query` failed, or the question for roles: who logs in is told to try later",
    "writes are followed": "the cache hears of everybody's writes to so many `tables`",
    "writes are not followed": "with `error` and `hint`; what was cached is void. Tried again; said once a minute",
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
        if node.func.attr in _LEVELS and ast.unparse(node.func.value) in ("log", "self.log", "self.logger"):
            first = node.args[0]
            event = first.value if isinstance(first, ast.Constant) else ast.unparse(first)[2:-1]
            yield str(event), node.func.attr


if __name__ == "__main__":
    PAGE.write_text(write_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
