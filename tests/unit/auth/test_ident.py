from pathlib import Path

import pytest

from dbproxy.auth.hba import Caller
from dbproxy.auth.ident import may_be, needs_roles, parse_maps
from dbproxy.auth.lines import Source
from dbproxy.errors import ConfigurationError

MAPS = r"""
people  bryanh  bryanh
people  ann     anne, # one
people  robert  bob
any     /^(.*)@example\.com$   \1
any     /^x-(all)$  \1
any     root    all
any     admin   +dba
any     /^cn    /^app
quoted  root    "all"
"""


@pytest.mark.parametrize(
    ("name", "system", "user", "may"),
    [
        ("", "app", "app", True),
        ("", "app", "other", False),
        ("", "", "", False),
        ("people", "robert", "bob", True),
        ("people", "robert", "robert", False),
        ("people", "ann", "anne", True),
        ("missing", "robert", "bob", False),
        ("any", "joe@example.com", "joe", True),
        ("any", "joe@example.com", "jim", False),
        ("any", "joe@example.org", "joe", False),
        ("any", "root", "whoever", True),
        ("any", "x-all", "whoever", False),  # what stands for \1 is no keyword
        ("any", "x-all", "all", True),
        ("any", "admin", "app", True),  # a member of dba
        ("any", "cn=x", "apple", True),
        ("any", "cn=x", "pear", False),
        ("quoted", "root", "all", True),
        ("quoted", "root", "app", False),
    ],
)
def test_who_may_be_whom(name: str, system: str, user: str, may: bool) -> None:
    maps = parse_maps(Source("pg_ident.conf", Path(), MAPS))
    caller = Caller(user, "shop", roles=frozenset({"app", "dba"}))
    assert may_be(maps, name, system, caller) is may


def test_map_whose_user_is_a_role_needs_the_roles() -> None:
    maps = parse_maps(Source("pg_ident.conf", Path(), MAPS))
    assert needs_roles(maps, "any")
    assert not needs_roles(maps, "people")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("people ann", "missing entry at end of line"),
        ("people a,b c", "multiple values in ident field"),
        (r"people /^x \1", "no subexpressions as requested by backreference"),
        ("people /( c", "invalid regular expression"),
        ("people c /(", "invalid regular expression"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_maps(Source("pg_ident.conf", Path(), f"\n{text}"))
    assert caught.value.message.startswith("pg_ident.conf:2: ")
    assert message in caught.value.message
