import pytest

from dbproxy.auth.addresses import Place, parse_address, parse_place


@pytest.mark.parametrize(
    ("text", "mask", "inside", "outside"),
    [
        ("10.0.0.0/8", None, "10.255.0.1", "11.0.0.1"),
        ("10.1.2.3/8", None, "10.9.9.9", "11.0.0.1"),
        ("10.1.2.3/32", None, "10.1.2.3", "10.1.2.4"),
        ("10.1/16", None, "10.0.9.9", "10.1.0.0"),  # 10.1 is 10.0.0.1
        ("0.0.0.0/0", None, "203.0.113.9", "::1"),
        ("::/0", None, "::1", "127.0.0.1"),
        ("fe80::/10", None, "fe80::1%eth0", "fd00::1"),
        ("10.0.0.0", "255.0.0.0", "10.1.1.1", "11.1.1.1"),
        ("10.0.0.5", "255.0.0.255", "10.9.9.5", "10.9.9.6"),  # with holes, too
        ("2001:db8::", "ffff:ffff::", "2001:db8:1::", "2001:db9::"),
    ],
)
def test_network(text, mask, inside, outside) -> None:  # type: ignore[no-untyped-def]
    place, has_mask = parse_place(text, mask)
    assert has_mask is (mask is not None)
    assert place.holds(parse_address(inside), ())
    assert not place.holds(parse_address(outside), ())


@pytest.mark.parametrize(
    ("text", "mask", "message"),
    [
        ("10.0.0.0/33", None, "invalid CIDR mask in address"),
        ("10.0.0.0/", None, "invalid CIDR mask in address"),
        ("10.0.0.0/x", None, "invalid CIDR mask in address"),
        ("db.example/8", None, "both host name and CIDR mask"),
        ("10.0.0.0", None, "end-of-line before netmask"),
        ("10.0.0.0", "trust", "invalid IP mask"),
        ("10.0.0.0", "ffff::", "IP address and mask do not match"),
    ],
)
def test_bad_addresses_are_refused_in_postgresqls_words(text, mask, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        parse_place(text, mask)


@pytest.mark.parametrize(
    ("written", "name", "fits"),
    [
        ("db.example", "DB.example", True),
        ("db.example", "x.db.example", False),
        (".example", "db.example", True),
        (".example", "example", False),
    ],
)
def test_host_name(written: str, name: str, fits: bool) -> None:
    place, has_mask = parse_place(written, "trust")
    assert (place.kind, has_mask) == ("name", False)
    assert place.has_name(name) is fits


def test_this_machines_own_addresses_and_networks() -> None:
    own = ((parse_address("10.0.0.7"), 24), (parse_address("::1"), 128))
    for text, same_host, same_net in (
        ("10.0.0.7", True, True),
        ("10.0.0.8", False, True),
        ("10.0.1.7", False, False),
    ):
        assert Place("samehost").holds(parse_address(text), own) is same_host
        assert Place("samenet").holds(parse_address(text), own) is same_net


def test_names_that_no_resolver_takes_are_names() -> None:
    place, _ = parse_place("a" * 70 + ".example", None)
    assert place.kind == "name"
