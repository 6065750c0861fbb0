"""Keys made of what is known of a client."""

import pytest

from dbproxy.config.template import Facts, parse_template

APP = Facts("app", "shop", "web", "10.1.2.3")


def fill(text: str, facts: Facts = APP, **known: dict[str, str]) -> str:
    return parse_template(text).fill(facts, known.get("settings", {}), known.get("tags", {}))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{user}", "app"),
        ("{database}:{user}", "shop:app"),
        ("{application_name}", "web"),
        ("{client_addr}", "10.1.2.3"),
        ("{client_addr/24}", "10.1.2.0/24"),
        ("all", "all"),
        ("{setting.app.tenant_id}", "acme"),
        ("{tag.tenant}/{user}", "globex/app"),
        ("{setting.app.other}", ""),
        ("{user}:{tag.other}", ""),
    ],
)
def test_key_is_made_of_what_is_known_and_empty_if_something_is_not(text: str, key: str):
    assert fill(text, settings={"app.tenant_id": "acme"}, tags={"tenant": "globex"}) == key


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("{client_addr}", "2001:db8::1", "2001:db8::1"),
        ("{client_addr/24}", "2001:db8:1:2:3::1", "2001:db8:1:2::/64"),
        ("{client_addr/24/48}", "2001:db8:1:2:3::1", "2001:db8:1::/48"),
        ("{client_addr/16}", "fe80::1%eth0", "fe80::/64"),
        ("{client_addr/24}", "", "unix"),
    ],
)
def test_networks_of_both_kinds_and_the_unix_socket(text: str, address: str, key: str):
    assert fill(text, Facts(address=address)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{user",
        "user}",
        "{nobody}",
        "{client_addr/33}",
        "{client_addr/24/129}",
        "{setting.}",
        "{tag.a b}",
        7,
    ],
)
def test_what_is_no_template_is_refused(text: object):
    with pytest.raises(ValueError, match=r"field|text|pair"):
        parse_template(text)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("{user}", False),
        ("{client_addr}", False),
        ("{application_name}", True),
        ("{setting.a}", True),
        ("x{tag.a}", True),
    ],
)
def test_claims_are_what_a_client_can_set_itself(text: str, claim: bool):
    assert parse_template(text).is_claim == claim
