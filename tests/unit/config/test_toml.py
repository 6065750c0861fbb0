from pathlib import Path

import pytest

from dbproxy.config.toml import locate_keys, read_file
from dbproxy.errors import ConfigurationError

TEXT = '''\
# a comment
[listen]
host = "127.0.0.1"
[auth]
admin_users = [
  "a",   # port = 1
  "b",
]
[[replicas]]
name = "one"
[[replicas]]
url = "x"
name = """
[pool]
size = 3
"""
[databases."my.db"]
pool.mode = "session"
primary = { url = "x" }
[pool]
"size" = 5
'''


def test_each_key_has_the_line_it_starts_on():
    lines = locate_keys(TEXT)
    assert lines["listen", "host"] == 3
    assert lines["auth", "admin_users"] == 5
    assert lines["auth", "admin_users", 1] == 5
    assert lines["databases", "my.db", "pool", "mode"] == 18
    assert lines["databases", "my.db", "primary", "url"] == 19


def test_what_looks_like_a_key_inside_a_text_is_none():
    assert locate_keys(TEXT)["pool",] == 20
    assert locate_keys(TEXT)["pool", "size"] == 21


def test_arrays_of_tables_are_counted():
    lines = locate_keys(TEXT)
    assert (lines["replicas", 0, "name"], lines["replicas", 1, "url"], lines["replicas", 1, "name"]) == (
        10,
        12,
        13,
    )


def test_tables_inside_an_array_of_tables_belong_to_its_last():
    lines = locate_keys("[[a]]\n[a.b]\nx=1\n[[a]]\n[a.b]\nx=2\n[[a.c]]\ny=1\r\n[[a.c]]\ny=2\n")
    assert (lines["a", 0, "b", "x"], lines["a", 1, "b", "x"]) == (3, 6)
    assert (lines["a", 1, "c", 0, "y"], lines["a", 1, "c", 1, "y"]) == (8, 10)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "dbproxy.toml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[pool]\nsize = fifty\n", "text stands in quotes"),
        (b'[pool]\nmode = "session\n[log]\n', "a quote is not closed"),
        (b"size = 1\nsize = 2\n[pool]\n", "the key is there twice"),
    ],
)
def test_broken_toml_is_reported_with_its_line_and_what_is_wrong(tmp_path: Path, text: bytes, why: str):
    with pytest.raises(ConfigurationError, match=rf"dbproxy\.toml:2: not valid TOML: .* \({why}\)$"):
        read_file(write(tmp_path, text))


def test_broken_toml_at_the_end_is_reported_with_the_last_line(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"dbproxy\.toml:2: not valid TOML"):
        read_file(write(tmp_path, b'[pool]\nmode = "session\n'))


def test_a_file_that_is_no_text_is_reported_with_its_line(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"dbproxy\.toml:2: must be UTF-8"):
        read_file(write(tmp_path, b"[pool]\n# \xff\n"))


def test_a_missing_file_is_reported_by_its_path(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read: No such file"):
        read_file(tmp_path / "none.toml")


def test_auth_file_starts_at_the_files_folder(tmp_path: Path):
    read = read_file(write(tmp_path, b'[auth]\nfile = "userlist.txt"\n'))
    assert read.values["auth"]["file"] == str(tmp_path / "userlist.txt")
    absolute = read_file(write(tmp_path, b'[auth]\nfile = "/etc/userlist.txt"\n'))
    assert absolute.values["auth"]["file"] == "/etc/userlist.txt"
