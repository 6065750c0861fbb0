"""What servers are told of a client's address."""

import pytest

from dbproxy.session.application_name import NAME_LIMIT, name_with_host


@pytest.mark.parametrize(
    ("name", "address", "port", "told"),
    [
        ("shop", "10.0.0.1", 5432, "shop - 10.0.0.1:5432"),
        ("", "10.0.0.1", 5432, "app - 10.0.0.1:5432"),
        ("shop", "::1", 5432, "shop - [::1]:5432"),
        ("shop", "unix", 0, "shop - unix"),
        ("x" * 70, "10.0.0.1", 5432, "x" * 47 + " - 10.0.0.1:5432"),
        ("ü" * 40, "10.0.0.1", 54321, "ü" * 23 + " - 10.0.0.1:54321"),
    ],
)
def test_name_with_host_is_pgbouncers(name: str, address: str, port: int, told: str) -> None:
    assert name_with_host(name, address, port) == told
    assert len(told.encode()) <= NAME_LIMIT
