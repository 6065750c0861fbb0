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


def test_no_two_keys_are_equal() -> None:
    registry = Registry()
    assert len({add(registry).identity.key for _ in range(1000)}) > 990


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


def test_those_admitted_count_for_their_database_and_user_to_their_end() -> None:
    registry = Registry()
    logins = [add(registry) for _ in range(3)]
    for login, user in zip(logins, ("app", "app", "root"), strict=True):
        login.identity.database, login.identity.user = "shop", user
    for login in logins[:2]:
        registry.admit(login)
    assert (registry.databases["shop"], registry.users["app"], registry.users.get("root", 0)) == (2, 2, 0)
    registry.remove(logins[2].identity.pid)  # was never let in
    for login in (logins[0], logins[0]):
        registry.remove(login.identity.pid)
    assert (registry.databases["shop"], registry.users["app"]) == (1, 1)
    registry.remove(logins[1].identity.pid)
    assert not registry.databases
    assert not registry.admitted


def test_whoever_leaves_while_others_are_looked_at_is_none() -> None:
    registry = Registry()
    first, second, third = add(registry), add(registry), add(registry)
    looked_at = iter(registry)
    assert next(looked_at) is first
    registry.remove(second.identity.pid)
    assert list(looked_at) == [third]
