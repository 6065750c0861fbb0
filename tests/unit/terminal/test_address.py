"""Where the console is, who asks there, and by which password."""

from pathlib import Path

import pytest

from dbproxy.config import load
from dbproxy.errors import ConfigurationError
from dbproxy.terminal.address import Address, find_address


def find(environ: dict[str, str], **given: object) -> Address:
    return find_address(load(None, environ, {}), environ, **given)  # type: ignore[arg-type]


def test_it_is_where_the_proxy_listens():
    assert (found := find({})).host == "127.0.0.1"
    assert (found.port, found.user, found.password) == (6432, "dbproxy", None)
    assert str(find({"PGBOUNCER_HOST": "10.0.0.5,10.0.0.6", "PGBOUNCER_PORT": "7000"})) == "10.0.0.5:7000"
    assert str(find({"DBPROXY_LISTEN__HOST": "::"})) == "[::1]:6432"
    assert str(find({"DBPROXY_LISTEN__HOST": "0.0.0.0"})) == "127.0.0.1:6432"


def test_unix_socket_where_there_is_no_other():
    environ = {"DBPROXY_LISTEN__HOST": "", "DBPROXY_LISTEN__UNIX_SOCKET_DIR": "/run/dbproxy"}
    assert str(find(environ)) == "/run/dbproxy/.s.PGSQL.6432"


def test_what_is_given_counts_more():
    found = find({"DBPROXY_AUTH__ADMIN_USERS": "admin"}, host="db.example", port=5, user="me")
    assert (str(found), found.user) == ("db.example:5", "me")


def test_stats_user_asks_where_there_is_no_administrator():
    assert find({"DBPROXY_AUTH__ADMIN_USERS": "", "DBPROXY_AUTH__STATS_USERS": "watcher"}).user == "watcher"
    with pytest.raises(ConfigurationError, match="nobody may use the console"):
        find({"DBPROXY_AUTH__ADMIN_USERS": ""})


def test_password_is_looked_for_from_the_nearest_on(tmp_path: Path):
    users, passes = tmp_path / "users", tmp_path / "pass"
    users.write_text('"dbproxy" "of the file"\n"hashed" "md5' + "0" * 32 + '"\n')
    passes.write_text("# mine\nother:*:*:*:x\n127.0.0.1:6432:pgbouncer:dbproxy:of\\:pgpass\n")
    passes.chmod(0o600)
    environ = {"DBPROXY_AUTH__FILE": str(users), "DATABASE_URL": "postgresql://app:geheim@primary/app"}
    assert find(environ).password == "of the file"
    assert find(environ, user="app").password == "geheim"
    assert find(environ, user="hashed").password is None
    environ["PGPASSFILE"] = str(passes)
    assert find(environ).password == "of:pgpass"
    assert find(environ, port=7).password == "of the file"
    assert find({**environ, "PGPASSWORD": "mine"}).password == "mine"
    passes.chmod(0o644)  # libpq does not read one that others may read
    assert find(environ).password == "of the file"


def test_password_is_not_shown():
    assert "hunter2" not in repr(find({"PGPASSWORD": "hunter2"}))


def test_users_file_that_may_not_be_read_is_no_mistake(tmp_path: Path):
    users = tmp_path / "users"
    users.write_bytes(b'"dbproxy" "\xff"')
    assert find({"DBPROXY_AUTH__FILE": str(users)}).password is None


def test_user_of_the_url_asks_where_nobody_else_is_known():
    environ = {"DATABASE_URL": "postgresql://app:geheim@primary/app"}
    assert (find(environ).user, find(environ).password) == ("app", "geheim")
    environ["DBPROXY_AUTH__ADMIN_USERS"] = "boss"
    assert find(environ).user == "boss"
