import pytest

from dbproxy.config.env import name_variable, read_environment


def read(**environ: str) -> dict[str, object]:
    return {".".join(map(str, found.path)): found.value for found in read_environment(environ)}


def test_names_that_deployments_have_are_honoured():
    assert read(DATABASE_URL="postgresql://h/d", PGBOUNCER_PORT="1", PGBOUNCER_RESERVE_POOL_SIZE="2") == {
        "primary.url": "postgresql://h/d",
        "listen.port": "1",
        "pool.reserve_size": "2",
    }


def test_slow_query_threshold_is_in_milliseconds():
    assert read(SLOW_QUERY_THRESHOLD_MS="250") == {"slow_query.threshold": "250ms"}


def test_replica_health_check_interval_is_in_milliseconds():
    assert read(DATABASE_REPLICA_HEALTH_CHECK_INTERVAL="30000", DATABASE_REPLICA_FAILOVER_THRESHOLD="3") == {
        "health.interval": "30000ms",
        "health.failure_threshold": "3",
    }


def test_our_own_names_win_over_the_honoured_ones():
    assert read(DBPROXY_POOL__SIZE="7", PGBOUNCER_POOL_SIZE="5") == {"pool.size": "7"}


def test_an_empty_honoured_name_counts_as_not_set():
    assert read(DATABASE_URL="") == {}


def test_an_empty_key_of_ours_is_a_value():
    assert read(DBPROXY_LISTEN__HOST="") == {"listen.host": ""}


def test_names_of_tracing_that_deployments_have():
    assert read(DATADOG_ENABLED="True", APM_SAMPLE_RATE="0.5", APM_ENABLE_HTTP_TRACING="true") == {
        "tracing.mode": "on",
        "tracing.sample_rate": "0.5",
        "tracing.http": "true",
    }
    assert read(DATADOG_ENABLED="false") == {"tracing.mode": "off"}
    assert read(DATADOG_ENABLED="maybe") == {"tracing.mode": "maybe"}  # which is told as a mistake


def test_names_of_others_are_not_read():
    assert read(PATH="/bin", DBPROXYISH="1") == {}


def test_names_about_batches_are_read():
    assert read(DEFAULT_BATCH_CHUNK_SIZE="500", BATCH_ERROR_HANDLING="fail") == {
        "batch.chunk_size": "500",
        "batch.error_handling": "fail",
    }


@pytest.mark.parametrize(
    "name",
    [
        "DBPROXY_SERVICE_HOST",
        "DBPROXY_SERVICE_PORT_PG",
        "DBPROXY_PORT",
        "DBPROXY_PORT_6432_TCP_ADDR",
        "DBPROXY_PURE",
    ],
)
def test_names_that_kubernetes_and_the_build_set_are_not_ours(name: str):
    assert read(**{name: "x"}) == {}


def test_names_with_one_underscore_too_few_are_taken_to_be_reported():
    assert read(DBPROXY_POOL_SIZE="7") == {"pool_size": "7"}


def test_a_keys_name_in_the_environment():
    assert name_variable("slow_query.threshold") == "DBPROXY_SLOW_QUERY__THRESHOLD"
