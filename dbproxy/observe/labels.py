"""Labels of metrics."""

from dbproxy.observe.figures import PoolFigures

POOL_LABELS = ("database", "user")


def pool_labels(pool: PoolFigures) -> tuple[str, str]:
    """The values for POOL_LABELS."""
    return label(pool.database), label(pool.user)


def label(text: str) -> str:
    """`text` as a label's value: names come from clients and need not be valid UTF-8."""
    return text.encode("utf-8", "replace").decode()
