"""Who logged in: what a log line says of it, and what it never says."""

from dbproxy.session.identity import Identity


def make_ann(address: str = "10.0.0.1", port: int = 5000) -> Identity:
    ann = Identity(7, 1.0, 2.0, 1024, address=address, port=port, user="ann", database="shop")
    ann.key, ann.application_name = b"hush", "web"
    return ann


ANN = make_ann()


def test_log_line_says_who_and_from_where() -> None:
    assert ANN.describe() == {
        "client": 7,
        "address": "10.0.0.1:5000",
        "user": "ann",
        "database": "shop",
        "application_name": "web",
    }


def test_unix_socket_has_no_port() -> None:
    assert make_ann("unix", 0).describe()["address"] == "unix"


def test_cancel_key_is_told_to_no_log() -> None:
    assert "hush" not in repr(ANN)
    assert "hush" not in str(ANN.describe())
