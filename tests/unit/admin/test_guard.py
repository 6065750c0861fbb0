"""Whom HTTP tells what."""

import pytest

from dbproxy.admin.guard import is_trusted
from tests.unit.admin.house import settings

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize(
    ("bound_to", "trusted"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_without_a_token_only_this_machine_is_trusted(bound_to: str, trusted: bool) -> None:
    assert is_trusted(settings(), bound_to, "") is trusted


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("localhost:9127", True),
        ("LOCALHOST", True),
        ("dbproxy.localhost:9127", True),
        ("127.0.0.1:9127", True),
        ("[::1]:9127", True),
        ("", True),
        ("evil.example:9127", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:9127", False),
        ("[::1].evil.example", True),  # no name that a browser asks for
        ("10.0.0.1:9127", False),
        ("]", False),
    ],
)
def test_page_from_elsewhere_whose_name_leads_here_is_told_nothing(host: str, trusted: bool) -> None:
    assert is_trusted(settings(), "127.0.0.1", "", host) is trusted
    assert is_trusted(settings(DBPROXY_HTTP__TOKEN=TOKEN), "127.0.0.1", f"Bearer {TOKEN}", host)


@pytest.mark.parametrize(
    ("header", "trusted"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        (f"Bearer {TOKEN}x", False),
        ("Bearer ", False),
        ("Bearer \udcff", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("bound_to", ["127.0.0.1", "0.0.0.0"])
def test_token_that_is_set_is_asked_for_everywhere(header: str, trusted: bool, bound_to: str) -> None:
    assert is_trusted(settings(DBPROXY_HTTP__TOKEN=TOKEN), bound_to, header) is trusted
