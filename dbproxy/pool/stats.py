"""What a pool has done: plain ints, read by Prometheus, the console and the log alike.

Durations go into log-linear buckets, two for each doubling: bucket `i` holds those under `BOUNDS_US[i]` microseconds
and not under the one before; the last holds the rest. 16 µs to 67 s with an error of at most 41 %, in 45 ints.
"""

from collections import Counter

LAST_OCTAVE = 25
BOUNDS_US: list[int] = [
    edge for octave in range(4, LAST_OCTAVE + 1) for edge in (1 << octave, 3 << octave - 1)
]
BUCKETS = len(BOUNDS_US) + 1
NONE = [0] * BUCKETS


def bucket(microseconds: int) -> int:
    """The index of the bucket that counts this duration."""
    if microseconds < 16:
        return 0
    octave = 4
    while microseconds >> octave + 1:
        octave += 1
    if octave > LAST_OCTAVE:
        return BUCKETS - 1
    return 1 + (octave - 4) * 2 + (microseconds >> octave - 1 & 1)


class PoolStats:
    """Counters of one pool since start. Names and meanings are PgBouncer's (SHOW STATS); times in microseconds."""

    def __init__(self) -> None:
        self.xact_count = 0
        self.query_count = 0
        self.bytes_received = 0  # from clients
        self.bytes_sent = 0  # to clients
        self.xact_time_us = 0
        self.query_time_us = 0
        self.wait_time_us = 0
        self.server_assignment_count = 0
        self.client_parse_count = 0
        self.server_parse_count = 0
        self.bind_count = 0
        self.login_count = 0
        self.slow_query_count = 0
        self.error_count = 0
        self.audit_count = 0
        self.replay_count = 0
        self.pin_counts: Counter[str] = Counter()  # how often a pin began, by reason
        self.refused_pin_counts: Counter[str] = Counter()  # by reason
        self.refusals: Counter[str] = Counter()  # requests that failed without a server, by SQLSTATE
        self.limits: Counter[str] = Counter()  # how often each limit or timeout struck, by its name
        self.query_buckets = NONE.copy()
        self.xact_buckets = NONE.copy()
        self.wait_buckets = NONE.copy()

    def query(self, microseconds: int) -> None:
        self.query_count += 1
        self.query_time_us += microseconds
        self.query_buckets[bucket(microseconds)] += 1

    def xact(self, microseconds: int) -> None:
        self.xact_count += 1
        self.xact_time_us += microseconds
        self.xact_buckets[bucket(microseconds)] += 1

    def wait(self, microseconds: int) -> None:
        self.server_assignment_count += 1
        self.wait_time_us += microseconds
        self.wait_buckets[bucket(microseconds)] += 1
