"""How many connections a pool opens, and when: decisions without side effects."""

from typing import Protocol

FIRST_RETRY = 0.1  # seconds


class Limits(Protocol):
    @property
    def size(self) -> int: ...
    @property
    def min_pool_size(self) -> int: ...
    @property
    def reserve_size(self) -> int: ...
    @property
    def reserve_timeout(self) -> float: ...


def wanted(
    *, size: int, opening: int, waiting: int, longest_wait: float, probing: bool, limits: Limits
) -> int:
    """Connections to begin opening now.

    `size` counts the `opening` ones; `longest_wait` is in seconds; `probing`: the last attempt failed, so one at a
    time until one succeeds. The reserve is for clients that have waited `reserve_timeout`.
    """
    room = limits.size - size
    if limits.reserve_timeout and longest_wait >= limits.reserve_timeout:
        room += limits.reserve_size
    need = max(waiting - opening, min(limits.min_pool_size, limits.size) - size)
    number = max(0, min(need, room))
    return min(number, 1 - opening) if probing and number else number


def backoff(failures: int, longest: float) -> float:
    """Seconds to wait after this many failures in a row: doubling from 0.1 s to `longest`."""
    return min(longest, FIRST_RETRY * 2.0 ** min(failures - 1, 30))
