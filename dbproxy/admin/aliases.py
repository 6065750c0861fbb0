"""PgBouncer's names of settings that dbproxy has, too: for SET, and for exporters and scripts that read SHOW CONFIG."""

from collections.abc import Iterator

from dbproxy.config import Settings, list_entries

SETTABLE = {
    "application_name_add_host": "pool.application_name_add_host",
    "cancel_wait_timeout": "pool.cancel_wait_timeout",
    "client_idle_timeout": "pool.client_idle_timeout",
    "client_login_timeout": "pool.client_login_timeout",
    "default_pool_size": "pool.size",
    "idle_transaction_timeout": "pool.idle_transaction_timeout",
    "max_client_conn": "pool.max_client_conn",
    "max_db_client_connections": "pool.max_db_client_connections",
    "max_db_connections": "pool.max_db_connections",
    "max_user_client_connections": "pool.max_user_client_connections",
    "max_user_connections": "pool.max_user_connections",
    "max_prepared_statements": "pool.max_prepared_statements",
    "min_pool_size": "pool.min_pool_size",
    "pool_mode": "pool.mode",
    "query_timeout": "pool.query_timeout",
    "query_wait_timeout": "pool.query_wait_timeout",
    "reserve_pool_size": "pool.reserve_size",
    "reserve_pool_timeout": "pool.reserve_timeout",
    "server_check_delay": "pool.server_check_delay",
    "server_check_query": "pool.server_check_query",
    "server_connect_timeout": "pool.server_connect_timeout",
    "server_idle_timeout": "pool.server_idle_timeout",
    "server_lifetime": "pool.server_lifetime",
    "server_login_retry": "pool.server_login_retry",
    "server_reset_query": "pool.server_reset_query",
    "transaction_timeout": "pool.transaction_timeout",
}
SHOWN = {
    **SETTABLE,
    "admin_users": "auth.admin_users",
    "auth_dbname": "auth.dbname",
    "auth_file": "auth.file",
    "auth_hba_file": "auth.hba_file",
    "auth_ident_file": "auth.ident_file",
    "auth_query": "auth.query",
    "auth_type": "auth.type",
    "auth_user": "auth.user",
    "dns_max_ttl": "health.dns_max_ttl",
    "listen_addr": "listen.host",
    "listen_backlog": "listen.backlog",
    "listen_port": "listen.port",
    "log_connections": "log.connections",
    "max_packet_size": "listen.max_message_size",
    "stats_users": "auth.stats_users",
    "unix_socket_dir": "listen.unix_socket_dir",
}


def list_aliases(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    """Rows of SHOW CONFIG: durations in seconds and sizes in bytes, without a unit, as PgBouncer has them."""
    now = {entry.key: entry for entry in list_entries(settings)}
    usual = {entry.key: entry.value for entry in list_entries(Settings())}
    for name, key in SHOWN.items():
        entry = now[key]
        yield name, _show(entry.value), _show(usual[key]), "no" if entry.restart else "yes"


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:.15g}" if isinstance(value, float) else str("" if value is None else value)
