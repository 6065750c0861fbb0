from pathlib import Path

import pytest

from dbproxy.config import load
from dbproxy.config.exposure import find_secrets
from dbproxy.config.written import dotted


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"primary": {"url": "postgresql://app:5ecre7@h/db"}}, ["primary.url"]),
        ({"primary": {"url": "host=h user=app password = '5ecre7'"}}, ["primary.url"]),
        ({"primary": {"url": "postgresql://h/db?user=a&password=5ecre7"}}, ["primary.url"]),
        ({"primary": {"url": "postgresql://app@h:5432/db?passfile=/p"}}, []),
        ({"replicas": [{"url": "postgresql://h"}, {"url": "postgresql://u:p@h"}]}, ["replicas[1].url"]),
        ({"users": {"a": {"password": "x", "password_file": "y"}}}, ["users.a.password"]),
        ({"users": {"password": {"pool": {"size": 3}}}}, []),
        ({"databases": {"d": {"primary": {"url": "postgresql://u:p@h"}}}}, ["databases.d.primary.url"]),
        ({"http": {"token": "t"}, "limits": {"redis_url": "redis://:p@h"}}, ["http.token", "limits.redis_url"]),
        ({"tracing": {"headers": ["a=b"], "endpoint": "http://h"}}, ["tracing.headers"]),
        ({"tracing": {"headers": {"authorization": "Bearer t"}}}, ["tracing.headers"]),
        ({"databases": {"headers": {"dbname": "d"}}, "tracing": {"headers": {}}}, []),
        ({"http": {"token": ""}, "auth": {"file": "userlist.txt"}}, []),
    ],
)  # fmt: skip
def test_secrets_are_found_where_they_are(values: dict[str, object], keys: list[str]):
    assert [dotted(key) for key in find_secrets(values)] == keys


def test_file_with_a_password_that_everybody_may_read_is_told(tmp_path: Path):
    file = tmp_path / "dbproxy.toml"
    file.write_text('[primary]\nurl = "postgresql://app:5ecre7@h/db"\n')
    file.chmod(0o644)
    (warning,) = load(file, {}).warnings()
    assert warning == f"{file}: everybody on this machine may read primary.url in it; chmod o-rwx {file}"
    file.chmod(0o640)
    assert load(file, {}).warnings() == []
    file.write_text("[pool]\nsize = 3\n")
    file.chmod(0o644)
    assert load(file, {"DATABASE_URL": "postgresql://app:5ecre7@h/db"}).warnings() == []
