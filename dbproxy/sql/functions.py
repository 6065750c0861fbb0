"""What PostgreSQL's own functions do to the session that calls them, by name."""

from dbproxy.sql.statement import (
    ADVANCES,
    KEEPS,
    LOCKS,
    NOTIFIES,
    RECALLS,
    SEEDS,
    SHOWS_CHANNELS,
    SHOWS_NAMES,
    SIGNALS,
    UNKNOWN,
    UNLOCKS,
)

SET_CONFIG = "set_config"  # its arguments decide

_NAMES = {
    LOCKS: """
        pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
    """,
    UNLOCKS: "pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all",
    ADVANCES: "nextval setval",
    RECALLS: "currval lastval",
    SEEDS: "setseed",
    NOTIFIES: "pg_notify",
    SHOWS_NAMES: "pg_prepared_statement",
    SIGNALS: "pg_cancel_backend pg_terminate_backend",
    SHOWS_CHANNELS: "pg_listening_channels",
    # They run a text as SQL.
    UNKNOWN: """
        query_to_xml query_to_xmlschema query_to_xml_and_xmlschema ts_stat ts_rewrite
        crosstab crosstab2 crosstab3 crosstab4 connectby xpath_table
    """,
    # They leave a connection to elsewhere, a temporary replication slot, a backup, an origin.
    KEEPS: """
        dblink_connect dblink_connect_u dblink_open
        pg_create_logical_replication_slot pg_create_physical_replication_slot
        pg_copy_logical_replication_slot pg_copy_physical_replication_slot
        pg_replication_origin_session_setup pg_replication_origin_session_reset pg_backup_start pg_backup_stop
    """,
}

EFFECTS = {name: effect for effect, names in _NAMES.items() for name in names.split()}
RELATIONS = {"pg_prepared_statements": SHOWS_NAMES}  # views that show our own doings
