from dbproxy.config import Settings, compare


def settings(**values: object) -> Settings:
    return Settings.model_validate(values)


def test_equal_settings_differ_in_nothing():
    assert compare(settings(pool={"size": 50}), settings()) == []


def test_each_changed_key_says_whether_it_needs_a_restart():
    changes = compare(settings(), settings(pool={"size": 9}, listen={"port": 7000}))
    assert [(c.key, c.old, c.new, c.restart) for c in changes] == [
        ("listen.port", "6432", "7000", True),
        ("pool.size", "50", "9", False),
    ]


def test_a_new_password_is_a_change_that_shows_none():
    old = settings(primary={"url": "postgresql://u:hunter2@h/d"})
    [change] = compare(old, settings(primary={"url": "postgresql://u:hunter3@h/d"}))
    assert change.key == "primary.url"
    assert "hunter" not in repr(change)


def test_a_databases_key_that_appears_or_goes_is_a_change():
    listed = settings(databases={"a": {"pool": {"size": 50}}})
    assert [(c.key, c.old, c.new) for c in compare(settings(), listed)] == [
        ("databases.a.pool.size", "", "50")
    ]
    assert [(c.key, c.old, c.new) for c in compare(listed, settings())] == [
        ("databases.a.pool.size", "50", "")
    ]


def test_replicas_are_compared_as_a_whole():
    [change] = compare(settings(), settings(replicas="postgresql://h/d"))
    assert (change.key, change.new) == ("replicas", "replica1 postgresql://h:5432/d")
