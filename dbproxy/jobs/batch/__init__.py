"""Batches: a statement carried out in chunks beside live traffic, each row once; files and tables that are loaded."""

from typing import TYPE_CHECKING, Any

from dbproxy.jobs.batch.job import Batch
from dbproxy.jobs.primary import Primary

if TYPE_CHECKING:
    from dbproxy.jobs.batch.formats import Format
    from dbproxy.jobs.batch.lines import Lines
    from dbproxy.jobs.batch.load import Order
    from dbproxy.jobs.batch.rows import Rows
    from dbproxy.jobs.batch.statement import read_statement
    from dbproxy.jobs.batch.transfer import Transfer, Wish

__all__ = ["Batch", "Format", "Lines", "Order", "Primary", "Rows", "Transfer", "Wish", "read_statement"]
_HOMES = {
    "Format": "formats", "Lines": "lines", "Order": "lines", "Rows": "rows", "Transfer": "transfer",
    "Wish": "transfer", "read_statement": "statement",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """What a batch goes through is imported when it is asked for: PostgreSQL's parser alone is 10 MiB."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
