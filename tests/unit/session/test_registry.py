"""Who is connected, who may be cancelled, and why connections ended."""

from types import SimpleNamespace
from typing import Any

from dbproxy.session.registry import MAX_REASONS, PID_LIMIT, Registry


def add(registry: Registry) -> Any:
    login = SimpleNamespace()
    login.pid, login.key = registry.add(login)
    return login


def test_login_is_found_by_pid_and_key_until_it_is_removed() -> None:
    registry = Registry()
    login, other = add(registry), add(registry)
    assert registry.find(login.pid, login.key) is login
    assert registry.find(login.pid, other.key) is None
    assert registry.find(0, login.key) is None
    registry.remove(login)
    assert registry.find(login.pid, login.key) is None
    assert list(registry) == [other]


def test_ids_are_no_backends_and_fit_a_signed_number() -> None:
    registry = Registry()
    assert all(PID_LIMIT <= add(registry).pid < 2**31 for _ in range(1000))


def test_removing_twice_is_no_error() -> None:
    registry = Registry()
    login = add(registry)
    registry.remove(login)
    registry.remove(login)
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
