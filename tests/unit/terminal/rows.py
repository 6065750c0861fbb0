"""What a busy proxy's console would tell, as far as `dbproxy top` looks at it."""

from typing import Any

HOST = {
    "name": "primary", "host": "db1", "port": 5432, "role": "primary", "state": "up", "share": 20.0, "active": 1,
    "lag_seconds": 0.0, "lag_bytes": 0, "latency_us": 400, "servers": 12, "failures": 0, "last_error": "",
}  # fmt: skip
POOL = {
    "database": "quiet", "user": "app", "pool_mode": "transaction", "cl_active": 3, "cl_waiting": 0, "sv_active": 0,
    "sv_idle": 2, "sv_login": 0, "sv_tested": 0, "sv_used": 0, "sv_being_canceled": 0, "maxwait": 0, "maxwait_us": 0,
}  # fmt: skip
HOLDER = {
    "database": "busy", "user": "app", "host": "primary", "client": 7, "application_name": "worker", "server": 3,
    "server_pid": 4711, "state": "idle in transaction", "state_seconds": 34.0, "held_seconds": 35.2, "pins": "temp",
    "waiting": 2, "statement": "UPDATE t SET n = $?",
}  # fmt: skip
WAIT = {
    "database": "busy", "client": 31, "application_name": "web", "waits_for": "server", "position": 1, "wait": 2,
    "wait_us": 200_000, "holder": 7, "holders": 10, "statement": "SELECT $?",
}  # fmt: skip
QUERY = {
    "id": "ab", "database": "busy", "role": "replica", "calls": 12, "errors": 0, "total_us": 24_000, "mean_us": 2000,
    "p95_us": 3400, "wait_us": 20_000, "run_us": 3000, "stall_us": 1000, "text": "SELECT * FROM items WHERE id = $?",
}  # fmt: skip
FULL: dict[str, list[dict[str, Any]]] = {
    "version": [{"version": "dbproxy 1.0"}],
    "state": [{"key": "active", "value": "yes"}, {"key": "paused", "value": "no"}],
    "lists": [{"list": "used_clients", "items": 14}, {"list": "used_servers", "items": 12}],
    "databases": [{"name": "busy", "pool_size": 10}, {"name": "quiet", "pool_size": 10}],
    "hosts": [
        HOST,
        {
            **HOST,
            "name": "replica1",
            "host": "db2",
            "role": "replica",
            "lag_seconds": 12.0,
            "lag_bytes": 3 * 1024**2,
        },
    ],
    "pools": [
        POOL,
        {**POOL, "database": "busy", "cl_waiting": 2, "sv_active": 10, "maxwait": 2, "maxwait_us": 200_000},
    ],
    "stats": [{"database": "busy", "avg_query_count": 120, "avg_query_time": 3000}],
    "holders": [
        {
            **HOLDER,
            "client": 9,
            "application_name": "report",
            "waiting": 0,
            "held_seconds": 99.0,
            "database": "quiet",
        },
        HOLDER,
    ],
    "waits": [WAIT, {**WAIT, "holder": 8}, {**WAIT, "client": 32, "position": 2}],
    "queries": [QUERY],
}
