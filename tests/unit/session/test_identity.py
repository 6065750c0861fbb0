"""Who logged in: what a log line says of it, and what it never says."""

from dataclasses import FrozenInstanceError, replace

import pytest

from dbproxy.session.identity import Identity

ANN = Identity(
    7,
    1.0,
    2.0,
    1024,
    key=b"hush",
    address="10.0.0.1",
    port=5000,
    user="ann",
    database="shop",
    application_name="web",
)


def test_log_line_says_who_and_from_where() -> None:
    assert ANN.describe() == {
        "client": 7,
        "address": "10.0.0.1:5000",
        "user": "ann",
        "database": "shop",
        "application_name": "web",
    }


def test_unix_socket_has_no_port() -> None:
    assert replace(ANN, address="unix", port=0).describe()["address"] == "unix"


def test_cancel_key_is_told_to_no_log() -> None:
    assert "hush" not in repr(ANN)
    assert "hush" not in str(ANN.describe())


def test_identity_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        ANN.user = "bob"  # type: ignore[misc]
