import errno
import os
import resource
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dbproxy.net.notification import Notifier, find_address, read_watchdog, spell
from tests.support.manager import Manager

OURS = 4711


@contextmanager
def told_at(address: str) -> Iterator[Notifier]:
    with closing(Notifier({"NOTIFY_SOCKET": address})) as notifier:
        yield notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as listening:
        yield listening


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ""),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, "/run/systemd/notify"),
        ({"NOTIFY_SOCKET": "@/org/freedesktop/notify"}, "\0/org/freedesktop/notify"),
    ],
)
def test_address_of_the_manager(environ: Mapping[str, str], address: str):
    assert find_address(environ) == address


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "4711"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "4712"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": ""}, 0.0),
    ],
)
def test_signs_of_life_are_due_by_half_of_the_managers_patience(environ: Mapping[str, str], seconds: float):
    assert read_watchdog(environ, OURS) == seconds


def test_assignments_are_lines_and_no_value_makes_one_of_its_own():
    assert spell({"READY": "1", "STATUS": "ready\nSTOPPING=1"}) == b"READY=1\nSTATUS=ready STOPPING=1\n"


def test_manager_is_told_and_children_do_not_know_of_it(manager: Manager):
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    with closing(Notifier(environ)) as notifier:
        assert (notifier.watchdog, environ) == (1.0, {})
        notifier.tell(READY="1", STATUS="here")
        assert manager.listen() == {"READY": "1", "STATUS": "here"}
        notifier.tell(STATUS="there")
        assert manager.listen() == {"STATUS": "there"}
        assert notifier.socket is not None
        assert not notifier.socket.get_inheritable()


def test_without_a_manager_nothing_is_done(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket, "socket", None)
    notifier = Notifier({"WATCHDOG_USEC": "2000000"})
    notifier.tell(READY="1")
    assert (notifier.watchdog, notifier.owed) == (0.0, {})


def test_sign_of_life_needs_no_descriptor_where_none_is_left(manager: Manager):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with told_at(manager.address) as notifier:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                socket.socket()
            notifier.tell(WATCHDOG="1")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert manager.listen() == {"WATCHDOG": "1"}


def test_what_the_manager_does_not_take_it_gets_with_the_next(manager: Manager):
    with told_at(manager.address) as notifier:
        told = 0
        while not notifier.owed:  # until the queue is full
            notifier.tell(STATUS=str(told))
            told += 1
        notifier.tell(READY="1")
        notifier.tell(STATUS="last")
        manager.forget()
        notifier.tell(WATCHDOG="1")
        heard = list((manager.listen() or {}).items())
        assert heard == [("READY", "1"), ("STATUS", "last"), ("WATCHDOG", "1")]
        assert not notifier.owed


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234", "/" + "long" * 100])
def test_manager_that_is_not_there_costs_one_line_of_the_log(address: str):
    with told_at(address) as notifier, capture_logs() as lines:
        notifier.tell(READY="1")
        notifier.tell(STATUS="here")
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("service manager not told", "warning")
    assert notifier.owed == {"READY": "1", "STATUS": "here"}


def test_manager_that_comes_back_is_told_what_it_has_missed(tmp_path: Path):
    address = str(tmp_path / "notify")
    with told_at(address) as notifier, capture_logs() as lines:
        notifier.tell(READY="1")
        with Manager(address) as manager:
            notifier.tell(STATUS="here")
            assert manager.listen() == {"READY": "1", "STATUS": "here"}
        notifier.tell(STATUS="alone")
    missing, gone = (line["error"] for line in lines)
    assert os.strerror(errno.ENOENT) in missing
    assert os.strerror(errno.ECONNREFUSED) in gone
