from concurrent.futures import ThreadPoolExecutor

import pytest

from dbproxy.auth import exchange
from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.scram import Keys, derive_keys
from dbproxy.wire import codes


def test_request_codes_are_those_of_the_wire() -> None:
    ours = {name: code for name, code in vars(exchange.Request).items() if not name.startswith("_")}
    assert ours == {name: getattr(codes.Authentication, name) for name in ours}


def test_keys_are_derived_once() -> None:
    cache = KeyCache()
    first = cache.use("secret", b"salt", 1, lambda keys: keys)
    assert isinstance(first, Work)
    assert first.run() == derive_keys("secret", b"salt", 1)
    second = cache.use("secret", b"salt", 1, lambda keys: keys)
    assert isinstance(second, Keys)
    assert isinstance(cache.use("secret", b"salt", 2, lambda keys: keys), Work)
    assert isinstance(cache.use("secret", b"other", 1, lambda keys: keys), Work)
    assert isinstance(cache.use("other", b"salt", 1, lambda keys: keys), Work)


def test_logins_that_begin_together_derive_once(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[str] = []

    def count(password: str, salt: bytes, iterations: int) -> Keys:
        derived.append(password)
        return derive_keys(password, salt, iterations)

    monkeypatch.setattr(exchange, "derive_keys", count)
    cache = KeyCache()
    works = [cache.use("secret", b"salt", 1, lambda keys: keys) for _ in range(3)]
    assert {work.run() for work in works if isinstance(work, Work)} == {derive_keys("secret", b"salt", 1)}
    assert derived == ["secret"]


def test_cache_is_bounded_and_forgets_what_was_not_used() -> None:
    cache = KeyCache(size=2)
    cache.derive("a", b"s", 1)
    cache.derive("b", b"s", 1)
    assert cache.find("a", b"s", 1)
    cache.derive("c", b"s", 1)
    assert cache.find("a", b"s", 1)
    assert not cache.find("b", b"s", 1)
    assert cache.find("c", b"s", 1)


def test_threads_may_derive_at_once() -> None:
    cache = KeyCache(size=3)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: cache.derive(str(n % 7), b"s", 1), range(200)))
    assert sum(cache.find(str(n), b"s", 1) is not None for n in range(7)) == 3


def test_cache_shows_no_password() -> None:
    cache = KeyCache()
    work = cache.use("hunter2", b"salt", 1, lambda keys: keys)
    assert isinstance(work, Work)
    work.run()
    assert "hunter2" not in repr(cache) + repr(work)
