"""Which of PostgreSQL's own relations say the same on a replica.

Its tables, and the views that are made of nothing else, are replicated as all tables are. The other views tell of the
very server that they are read on: what goes on there, its files, its settings. So a name that begins with `pg_` and
is not known here is the primary's: a view that is newer than this list, or an extension's, like pg_stat_statements.
"""

_NAMES = """
    pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members pg_authid pg_cast pg_class pg_collation
    pg_constraint pg_conversion pg_database pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum
    pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_index pg_inherits
    pg_init_privs pg_language pg_largeobject pg_largeobject_metadata pg_namespace pg_opclass pg_operator pg_opfamily
    pg_parameter_acl pg_partitioned_table pg_policy pg_proc pg_publication pg_publication_namespace pg_publication_rel
    pg_range pg_replication_origin pg_rewrite pg_seclabel pg_sequence pg_shdepend pg_shdescription pg_shseclabel
    pg_statistic pg_statistic_ext pg_statistic_ext_data pg_subscription pg_subscription_rel pg_tablespace pg_transform
    pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user_mapping
    pg_group pg_indexes pg_matviews pg_policies pg_publication_tables pg_roles pg_rules pg_seclabels pg_shadow pg_stats
    pg_stats_ext pg_stats_ext_exprs pg_tables pg_user pg_user_mappings pg_views
"""
CATALOGS = frozenset(_NAMES.split())
INFORMATION_SCHEMA = "information_schema"


def is_own(schema: str, name: str) -> bool:
    """Whether a relation is PostgreSQL's, by the names that it keeps to itself."""
    return schema == INFORMATION_SCHEMA or schema.startswith("pg_") or name.startswith("pg_")


def is_replicated(schema: str, name: str) -> bool:
    """Of PostgreSQL's own: whether a replica shows what the primary does."""
    return schema == INFORMATION_SCHEMA or (schema in ("", "pg_catalog") and name in CATALOGS)
