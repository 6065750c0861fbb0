"""What PostgreSQL reads besides a text: equal for equal settings, and how a session gets from one to another."""

from dbproxy.pool.scopes import Scopes


def test_equal_settings_are_one_scope():
    one, two = Scopes.of({"timezone": "UTC", "work_mem": "1MB"}), Scopes.of({"timezone": "UTC"})
    assert one.full is two.full
    assert one.plain is Scopes.of({"timezone": "Asia/Tokyo"}).plain
    assert one.full is not Scopes.of({"timezone": "Asia/Tokyo"}).full


def test_role_counts_where_user_is_on_the_search_path():
    def are_equal(path: dict[str, str]) -> bool:
        return Scopes.of({**path, "role": "a"}).plain is Scopes.of({**path, "role": "b"}).plain

    assert not are_equal({})  # PostgreSQL's own default has it
    assert not are_equal({"search_path": '"$user", public'})
    assert are_equal({"search_path": "public"})


def test_scope_of_a_transaction_equals_no_other():
    session = Scopes.of({"timezone": "UTC"})
    one, two = (session.without(path=False, read=True) for _ in range(2))
    assert one.full is not two.full
    assert not one.full.known()
    assert not one.full.reads_as(two.full)
    assert not session.full.reads_as(one.full)
    assert one.plain is session.plain


def test_nothing_is_turned_where_nothing_differs():
    scope = Scopes.of({"timezone": "UTC"})
    assert scope.full.turns(scope.full) is None
    assert scope.plain.turns(Scopes.of({"timezone": "Asia/Tokyo"}).full) is None
    assert scope.full.without_settings().turns(Scopes.of({"timezone": "Asia/Tokyo"}).full) is None


def test_what_the_session_has_is_kept_by_the_server_meanwhile():
    turns = Scopes.of({"timezone": "UTC"}).full.turns(Scopes.of({"timezone": "Asia/Tokyo"}).full)
    assert turns is not None
    there, back = turns
    kept = "pg_catalog.set_config('dbproxy.kept_timezone', pg_catalog.current_setting('timezone'), true), "
    assert kept + "pg_catalog.set_config('timezone', 'UTC', true)" in there
    assert "pg_catalog.set_config('datestyle', NULL, true)" in there  # the server's default
    assert (
        "pg_catalog.set_config('timezone', pg_catalog.current_setting('dbproxy.kept_timezone'), true)" in back
    )


def test_search_path_is_turned_with_its_role():
    one, two = (Scopes.of({"role": role, "search_path": "$user"}).plain for role in ("a", "b"))
    turns = one.turns(two)
    assert turns is not None
    assert "pg_catalog.set_config('role', 'a', true)" in turns[0]
    assert "pg_catalog.set_config('search_path', '$user', true)" in turns[0]


def test_role_is_turned_before_it_is_known_what_the_session_changed_it_to():
    one, two = (Scopes.of({"role": role}) for role in ("a", "b"))
    turns = one.plain.turns(two.without(path=True, read=False).plain)
    assert turns is not None
    assert "pg_catalog.set_config('role', 'a', true)" in turns[0]


def test_what_only_the_server_knows_is_learned_by_its_answer():
    scope = Scopes.of({}).without(path=False, read=True).full
    assert "pg_catalog.current_setting('timezone')" in scope.question()
    scope.learn('{"scope": "0", "timezone": "UTC"}')  # left by another transaction
    assert scope.read is None
    scope.learn(f'{{"scope": "{scope.serial}", "timezone": "UTC"}}')
    assert scope.read == (("timezone", "UTC"),)
