"""From when on a setting counts that is changed once a batch is there."""

from dbproxy.config.batch import BatchSettings
from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.ledger import Job

DIVIDED = ("workers", "sweep")  # what its parts are made by
CONNECTED = ("lock_timeout", "synchronous_commit")  # what its connections are set up with


def refuse_late(job: Job, keys: list[str]) -> None:
    """JobRefused of one that comes too late."""
    late = [key for key in keys if key in DIVIDED]
    if late and (job.totals.open or job.totals.chunks or "sweep" in late):
        raise JobRefused(
            f"{late[0]} is settled when a batch begins, and batch {job.id} has begun",
            hint="Another batch may have another: cancel this one, and begin that under another id.",
        )


def tell(key: str, settings: BatchSettings) -> str:
    """`settings`: those of the batch, with the change."""
    if key in CONNECTED:
        return "from its next connection on, which is when it is resumed or was cut off"
    if key == "chunk_size" and settings.adaptive:
        return "from its next chunk on, and the sizes after that follow chunk_time up to max_chunk, as adaptive is set"
    if key.startswith("throttle."):
        return "from its next look on"
    return "from its next chunk on"
