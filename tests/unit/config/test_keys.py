from dbproxy.config.keys import list_entries, name_kind, walk_keys
from dbproxy.config.settings import Settings


def test_every_key_has_a_kind_and_one_sentence():
    for key, field in walk_keys():
        assert name_kind(field), key
        assert field.description, key
        assert field.description.endswith("."), key


def test_entries_are_shown_as_operators_write_them():
    shown = {entry.key: entry.shown for entry in list_entries(Settings())}
    assert shown["pool.reserve_timeout"] == "5s"
    assert shown["listen.max_message_size"] == "16MiB"
    assert shown["listen.unix_socket_mode"] == "0777"
    assert shown["slow_query.enabled"] == "true"
    assert shown["auth.admin_users"] == "dbproxy"
    assert shown["primary.url"] == ""


def test_entries_hide_passwords():
    url = "postgresql://app:hunter2@h/db"
    values = {"primary": {"url": url}, "replicas": url, "databases": {"a": {"primary": {"url": url}}}}
    entries = list_entries(Settings.model_validate(values))
    assert "hunter2" not in repr(entries)
    assert {e.key: e.shown for e in entries}["databases.a.primary.url"] == "postgresql://app:***@h:5432/db"


def test_of_a_database_only_what_was_written_is_listed():
    settings = Settings.model_validate({"databases": {"a": {"pool": {"size": 50}}}})
    assert [e.key for e in list_entries(settings) if e.key.startswith("databases")] == [
        "databases.a.pool.size"
    ]


def test_a_rule_of_the_cache_is_shown_as_it_was_written():
    rules = [
        {"relation": "audit_*", "never": True},
        {"relation": "menu", "database": "shop", "ttl": "10m", "tags": ["menu", "shop"]},
    ]
    shown = {
        entry.key: entry.shown for entry in list_entries(Settings.model_validate({"cache": {"rules": rules}}))
    }
    assert (
        shown["cache.rules"] == "relation=audit_* never, relation=menu database=shop ttl=10m tags=menu+shop"
    )
