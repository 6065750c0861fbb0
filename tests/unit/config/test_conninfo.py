"""How connection strings are written: as libpq reads them, which is asked itself."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from dbproxy.config.conninfo import LIBPQ, read_conninfo, split_list

OLD = {"authtype", "requiressl", "servicefile", "tty"}  # of libpq before, or after


def ask_libpq(text: str) -> dict[str, str] | None:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except psycopg.ProgrammingError:
        return None


def read(text: str) -> dict[str, str] | None:
    try:
        return read_conninfo(text)
    except ValueError:
        return None


def test_every_parameter_of_libpq_is_known():
    listed = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    assert listed - LIBPQ == set()
    assert LIBPQ - listed <= OLD


@pytest.mark.parametrize(
    "text",
    [
        "host=a port=1",
        "host = 'a b' port=''",
        "user= dbname=x",
        r"password='a\'b\\c'port=1",
        r"password=a\ b'c port=\\",
        "  host=a\t",
        "host=a host=b",
        "dbname='' user=''",
        "options='-c geqo=off -c search_path=a,b'",
        "host='a",
        "host=a b",
        "=a",
        "nonsense=1",
        "requiressl=1",
        "requiressl=0",
        "postgresql://",
        "postgres://localhost/mydb",
        "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
        "postgresql://host1:123,host2:456/somedb?target_session_attrs=any&application_name=myapp",
        "postgresql://a,b:5/db",
        "postgresql://[2001:db8::1234]/database",
        "postgresql://[::1]:3,:4/db",
        "postgresql:///dbname?host=/var/lib/postgresql",
        "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname",
        "postgresql://user@localhost:5433/mydb?options=-c%20synchronous_commit%3Doff",
        "postgresql://u:p%40ss@h?user=z",
        "postgresql://u:@h/",
        "postgresql://h/db?host=/run/pg&port=5433",
        "postgresql://h?sslmode=&port=",
        "postgresql://h/db?=x",
    ],
)
def test_it_is_read_as_by_libpq(text: str):
    assert read(text) == ask_libpq(text)


@given(
    st.text(
        st.sampled_from(" =\t'\\abh,%") | st.characters(codec="ascii", exclude_characters="\0"), max_size=12
    )
)
def test_any_value_is_read_as_by_libpq(value: str):
    for text in (f"host=x password={value}", f"password='{value}' port=1", f"password={value}"):
        assert read(text) == ask_libpq(text)


def test_two_things_differ_from_libpq():
    assert read("postgresql://u:p@ss@h/db") == {"user": "u", "password": "p@ss", "host": "h", "dbname": "db"}
    assert read("postgresql://h/db?schema=x") == {"host": "h", "dbname": "db", "schema": "x"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("postgresql://a/x, postgresql://b/x", ["postgresql://a/x", "postgresql://b/x"]),
        ("postgresql://a,b/x,postgresql://c,d:1/x", ["postgresql://a,b/x", "postgresql://c,d:1/x"]),
        ("postgresql://a,postgres://b,", ["postgresql://a", "postgres://b"]),
        ("postgresql://a/x,y", ["postgresql://a/x", "y"]),
        ("host=a dbname=x,host=b", ["host=a dbname=x", "host=b"]),
        ("", []),
    ],
)
def test_a_list_is_cut_between_connection_strings(text: str, found: list[str]):
    assert split_list(text) == found
