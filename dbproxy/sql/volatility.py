"""Which of PostgreSQL's own functions a replica may run: `answers_anywhere`, by name.

`VOLATILE` are those of `builtins` with any overload that PostgreSQL 18 calls volatile, as this query says:

    SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v';

A volatile function may write, lock or notify, so it is the primary's; those in `_PLAIN` only have another answer
each time. Of the others, `_OWN` describe the very server or session that they run on, or read what they are told by
name.
"""

from dbproxy.sql.functions import EFFECTS

_VOLATILE = """
    amvalidate array_sample array_shuffle binary_upgrade_add_sub_rel_state
    binary_upgrade_create_empty_extension binary_upgrade_logical_slot_has_caught_up
    binary_upgrade_replorigin_advance binary_upgrade_set_missing_value
    binary_upgrade_set_next_array_pg_type_oid binary_upgrade_set_next_heap_pg_class_oid
    binary_upgrade_set_next_heap_relfilenode binary_upgrade_set_next_index_pg_class_oid
    binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
    binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid
    binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid
    binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
    binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs brin_desummarize_range
    brin_summarize_new_values brin_summarize_range clock_timestamp current_query currtid2 currval
    cursor_to_xml cursor_to_xmlschema gen_random_uuid gin_clean_pending_list lastval lo_close lo_creat
    lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64 lo_open lo_put lo_tell
    lo_tell64 lo_truncate lo_truncate64 lo_unlink loread lowrite nextval pg_advisory_lock
    pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_available_wal_summaries pg_backup_start
    pg_backup_stop pg_blocking_pids pg_cancel_backend pg_clear_attribute_stats pg_clear_relation_stats
    pg_collation_actual_version pg_control_checkpoint pg_control_init pg_control_recovery
    pg_control_system pg_copy_logical_replication_slot pg_copy_physical_replication_slot
    pg_create_logical_replication_slot pg_create_physical_replication_slot pg_create_restore_point
    pg_current_logfile pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
    pg_database_collation_actual_version pg_database_size pg_drop_replication_slot pg_export_snapshot
    pg_extension_config_dump pg_get_aios pg_get_backend_memory_contexts pg_get_loaded_modules
    pg_get_multixact_members pg_get_sequence_data pg_get_shmem_allocations pg_get_shmem_allocations_numa
    pg_get_wait_events pg_get_wal_replay_pause_state pg_get_wal_resource_managers
    pg_get_wal_summarizer_state pg_hba_file_rules pg_ident_file_mappings pg_import_system_collations
    pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused pg_isolation_test_session_is_blocked
    pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn
    pg_last_xact_replay_timestamp pg_lock_status pg_log_backend_memory_contexts pg_log_standby_snapshot
    pg_logical_emit_message pg_logical_slot_get_binary_changes pg_logical_slot_get_changes
    pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes pg_ls_archive_statusdir pg_ls_dir
    pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir
    pg_ls_tmpdir pg_ls_waldir pg_nextoid pg_notification_queue_usage pg_notify pg_partition_ancestors
    pg_partition_tree pg_prepared_xact pg_promote pg_read_binary_file pg_read_file pg_relation_size
    pg_reload_conf pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop
    pg_replication_origin_progress pg_replication_origin_session_is_setup
    pg_replication_origin_session_progress pg_replication_origin_session_reset
    pg_replication_origin_session_setup pg_replication_origin_xact_reset pg_replication_origin_xact_setup
    pg_replication_slot_advance pg_restore_attribute_stats pg_restore_relation_stats pg_rotate_logfile
    pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_show_all_file_settings
    pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot
    pg_stat_file pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io
    pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
    pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
    pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
    pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
    pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_stat_reset pg_stat_reset_backend_stats
    pg_stat_reset_replication_slot pg_stat_reset_shared pg_stat_reset_single_function_counters
    pg_stat_reset_single_table_counters pg_stat_reset_slru pg_stat_reset_subscription_stats
    pg_stop_making_pinned_objects pg_switch_wal pg_sync_replication_slots pg_table_size pg_tablespace_size
    pg_terminate_backend pg_total_relation_size pg_try_advisory_lock pg_try_advisory_lock_shared
    pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_wal_replay_pause pg_wal_replay_resume
    pg_wal_summary_contents pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status
    plpgsql_validator query_to_xml query_to_xml_and_xmlschema query_to_xmlschema random random_normal
    set_config setseed setval timeofday ts_rewrite ts_stat txid_status uuidv4 uuidv7
"""
_PLAIN = """
    array_sample array_shuffle clock_timestamp gen_random_uuid pg_sleep pg_sleep_for pg_sleep_until random random_normal
    timeofday uuidv4 uuidv7
"""
_OWN = """
    database_to_xml database_to_xml_and_xmlschema database_to_xmlschema inet_client_addr inet_client_port
    inet_server_addr inet_server_port pg_available_extension_versions pg_available_extensions pg_backend_pid
    pg_conf_load_time pg_config pg_current_snapshot pg_current_xact_id pg_current_xact_id_if_assigned pg_cursor
    pg_event_trigger_ddl_commands pg_event_trigger_dropped_objects pg_event_trigger_table_rewrite_oid
    pg_event_trigger_table_rewrite_reason pg_extension_update_paths pg_get_replication_slots pg_listening_channels
    pg_numa_available pg_postmaster_start_time pg_prepared_statement pg_show_all_settings pg_tablespace_databases
    pg_tablespace_location pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_timezone_names schema_to_xml
    schema_to_xml_and_xmlschema schema_to_xmlschema table_to_xml table_to_xml_and_xmlschema table_to_xmlschema
    txid_current txid_current_if_assigned txid_current_snapshot
"""

VOLATILE = frozenset(_VOLATILE.split())
PLAIN = frozenset(_PLAIN.split())
_AT_HOME = (VOLATILE | frozenset(_OWN.split()) | EFFECTS.keys()) - PLAIN


def answers_anywhere(function: str) -> bool:
    """Whether a function of PostgreSQL's says the same on a replica, as far as anything does."""
    return function not in _AT_HOME and not function.startswith("pg_stat_")
