"""Settings from the environment: names that applications already have, and `DBPROXY_<SECTION>__<KEY>`."""

import re
from collections.abc import Iterator, Mapping

from dbproxy.config.otel import read_otel
from dbproxy.config.written import Assignment

PREFIX = "DBPROXY_"
# Names that deployments already set.
HONOURED = {  # and the keys that they set
    "DATABASE_URL": "primary.url",
    "DATABASE_READ_REPLICAS": "replicas",
    "DATABASE_REPLICA_FAILOVER_THRESHOLD": "health.failure_threshold",
    "DATABASE_REPLICA_HEALTH_CHECK_INTERVAL": "health.interval",
    "PGBOUNCER_HOST": "listen.host",
    "PGBOUNCER_PORT": "listen.port",
    "PGBOUNCER_POOL_SIZE": "pool.size",
    "PGBOUNCER_RESERVE_POOL_SIZE": "pool.reserve_size",
    "SLOW_QUERY_THRESHOLD_MS": "slow_query.threshold",
    "QUERY_MONITORING_ENABLED": "slow_query.enabled, query_stats.enabled",
    "DETAILED_HEALTH_CHECK_ENABLED": "http.detailed_health",
    "DATADOG_ENABLED": "tracing.mode",
    "APM_SAMPLE_RATE": "tracing.sample_rate",
    "APM_ENABLE_DATABASE_TRACING": "tracing.database",
    "APM_ENABLE_HTTP_TRACING": "tracing.http",
    "RATE_LIMIT_REDIS_KEY_PREFIX": "limits.redis_key_prefix",
    "CACHE_WARMING_ENABLED": "cache.warming",
    "RATE_LIMIT_GRACEFUL_DEGRADATION": "limits.graceful_degradation",
    "DEFAULT_BATCH_CHUNK_SIZE": "batch.chunk_size",
    "BATCH_ERROR_HANDLING": "batch.error_handling",
}
SWITCHES = {
    "DATADOG_ENABLED": {"true": "on", "1": "on", "yes": "on", "false": "off", "0": "off", "no": "off"}
}
MILLISECONDS = {"DATABASE_REPLICA_HEALTH_CHECK_INTERVAL", "SLOW_QUERY_THRESHOLD_MS"}
# Kubernetes gives pods such names for a service that is called "dbproxy"; DBPROXY_PURE belongs to the build.
_NOT_OURS = re.compile(
    r"DBPROXY_(PURE|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)"
)


def read_environment(environ: Mapping[str, str]) -> Iterator[Assignment]:
    """What the environment sets, in rising precedence; names with our prefix are keys, known or not."""
    yield from read_otel(environ)
    for name, key in HONOURED.items():
        if value := environ.get(name, ""):
            milliseconds = name in MILLISECONDS and value.isdigit()
            meant = SWITCHES.get(name, {}).get(value.lower(), value)
            for one in key.split(", "):
                yield Assignment(tuple(one.split(".")), f"{value}ms" if milliseconds else meant, name)
    for name in sorted(environ):
        if name.startswith(PREFIX) and not _NOT_OURS.fullmatch(name):
            path = name.removeprefix(PREFIX).lower().split("__")
            yield Assignment(tuple(path), environ[name], name)


def name_variable(key: str) -> str:
    """The environment's name of a key: `pool.size` is DBPROXY_POOL__SIZE."""
    return PREFIX + key.upper().replace(".", "__")
