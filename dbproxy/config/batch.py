"""The section that says how batches go through a table."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dbproxy.config.section import Section, setting
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.config.units import Count, Duration

MOST = 1_000_000  # rows in a chunk


class BatchSettings(Section):
    """How `dbproxy batch` goes through a table; docs/batches.md tells of it. Each can be given on its command line."""

    chunk_size: Count = setting(
        1000, "Rows in the first chunk; also `DEFAULT_BATCH_CHUNK_SIZE`.", ge=1, le=MOST
    )
    adaptive: bool = setting(
        default=True, description="Whether later chunks are larger or smaller, by `chunk_time`."
    )
    chunk_time: Duration = setting("500ms", "How long a chunk should take.", gt=0)
    min_chunk: Count = setting(100, "The smallest that a chunk becomes.", ge=1, le=MOST)
    max_chunk: Count = setting(100000, "The largest.", ge=1, le=MOST)
    error_handling: Literal["accumulate", "fail"] = setting(
        "accumulate",
        "`accumulate` records rows that cannot be changed in `dbproxy.batch_errors` and goes on; `fail` stops at the "
        "first. Also `BATCH_ERROR_HANDLING`.",
    )
    max_errors: Count = setting(100, "Rows that may be recorded until the batch stops; 0: any number.")
    retries: Count = setting(
        60,
        "How often a chunk is tried again after deadlocks, locks and timeouts, 50 ms to 5 s later.",
        le=100000,
    )
    lock_timeout: Duration = setting(
        "200ms", "How long a chunk waits for a row that somebody else has.", gt=0
    )
    skip_locked: bool = setting(
        default=False,
        description="Whether rows that somebody else has are passed over, and revisited when all others are done.",
    )
    synchronous_commit: Literal["", "on", "off", "local", "remote_write", "remote_apply"] = setting(
        "",
        "What the COMMIT of a chunk waits for, as PostgreSQL's parameter of that name; empty: what the server has. By "
        "`off` a crash of the server may take the last chunks together with what the ledger says of them, so that they "
        "are done again; the end of a batch waits as the server has it.",
    )
    primary_wait: Duration = setting("10m", "How long it waits for a primary after one is lost.")
    workers: Count = setting(1, "How many go through the table at once, each its own part.", ge=1, le=8)
    sweep: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether rows that came behind it are gone for in the end; `auto`: where the key is in no order and the "
        "condition is one that the change settles.",
    )
    vacuum_every: Count = setting(1_000_000, "Changed rows after which the table is vacuumed; 0: it is not.")
    throttle: ThrottleSettings = Field(default_factory=ThrottleSettings)

    @model_validator(mode="after")
    def check_sizes(self) -> Self:
        if self.min_chunk > self.max_chunk:
            raise ValueError("min_chunk is more than max_chunk")
        return self

    def overlay(self, changes: Mapping[str, Any]) -> Self:
        """With these keys instead, as they are written; `throttle.max_lag` is one of the table within.

        pydantic's ValidationError if one is wrong.
        """
        values = self.model_dump()
        for key, value in changes.items():
            values = _merge(values, _nest(key, value))
        return self.model_validate(values)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **base,
        **{
            key: _merge(base[key], value)
            if isinstance(value, dict) and isinstance(base.get(key), dict)
            else value
            for key, value in changes.items()
        },
    }


def _nest(key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: _nest(rest, value) if rest else value}
