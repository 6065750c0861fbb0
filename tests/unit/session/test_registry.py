"""Who is connected, who may be cancelled, and why connections ended."""

from types import SimpleNamespace
from typing import Any

from dbproxy.session.registry import MAX_REASONS, PID_LIMIT, Registry


def add(registry: Registry) -> Any:
    login = SimpleNamespace()
    pid, key = registry.add(login)
    login.identity = SimpleNamespace(pid=pid, key=key)
    return login


def test_login_is_found_by_pid_and_key_until_it_is_removed() -> None:
    registry = Registry()
    login, other = add(registry), add(registry)
    pid, key = login.identity.pid, login.identity.key
    assert registry.find(pid, key) is login
    assert registry.find(pid, other.identity.key) is None
    assert registry.find(0, key) is None
    registry.remove(pid)
    assert registry.find(pid, key) is None
    assert list(registry) == [other]


def test_ids_are_no_backends_and_fit_a_signed_number() -> None:
    registry = Registry()
    assert all(PID_LIMIT <= add(registry).identity.pid < 2**31 for _ in range(1000))


def test_removing_twice_is_no_error() -> None:
    registry = Registry()
    login = add(registry)
    registry.remove(login.identity.pid)
    registry.remove(login.identity.pid)
    assert len(registry) == 0


def test_client_cannot_fill_the_memory_with_ever_new_reasons() -> None:
    registry = Registry()
    registry.count_disconnect("usual")
    for number in range(10 * MAX_REASONS):
        registry.count_disconnect(f"message of {number} bytes")
    registry.count_disconnect("usual")
    assert registry.disconnects["usual"] == 2
    assert len(registry.disconnects) == MAX_REASONS + 1
    assert registry.disconnects.total() == 10 * MAX_REASONS + 2
