"""Writes the lists of metrics in docs/observability.md: `python -m dbproxy.observe.document`."""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from dbproxy.observe.figures import (
    BatchFigures,
    CacheFigures,
    CacheUserFigures,
    LimitFigures,
    ProxyFigures,
    QueryStatsFigures,
    SharedCacheFigures,
    SharedLimitFigures,
    TraceFigures,
)
from dbproxy.observe.metrics import ProxyCollector
from dbproxy.observe.pgbouncer_names import LISTS

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
BEGIN = "<!-- Written by `python -m dbproxy.observe.document` from the metrics' own HELP; change that. -->\n"
END = "<!-- Up to here. -->\n"
_LIST = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)


def write_page(text: str) -> str:
    """The page, its two lists made anew: our own metrics, then those under PgBouncer's names."""
    lists = iter((write_list("dbproxy_"), write_list("pgbouncer_")))
    return _LIST.sub(lambda _: f"{BEGIN}\n{next(lists)}\n{END}", text)


def write_list(prefix: str) -> str:
    rows = ["| name | type | labels | |", "|---|---|---|---|"]
    rows += [_write_row(family) for family in list_families() if family.name.startswith(prefix)]
    return "\n".join(rows) + "\n"


def list_families() -> Iterator[Metric]:
    """Every metric of the proxy; those of its process (`process_…`, `python_info`) are the library's."""
    figures = ProxyFigures(
        lists={row: 0 for row, _, _ in LISTS},
        query_stats=QueryStatsFigures(entries=0, memory_bytes=0, evicted=0, other_calls=0),
        traces=TraceFigures(mode="on"),
        limits=LimitFigures(shared=SharedLimitFigures()),
        batches=[BatchFigures(id="", database="", throttled={"": 0}, retries={"": 0})],
        cache=CacheFigures(users=[CacheUserFigures(database="", user="")], shared=SharedCacheFigures()),
    )
    return ProxyCollector(lambda: figures, (), "", compiled=True).collect()


def name_series(family: Metric) -> str:
    """As queries name it: OpenMetrics' families of counters go without their suffix."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def _write_row(family: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in label_names(family))
    return f"| `{name_series(family)}` | {family.type} | {labels} | {family.documentation} |"


def label_names(family: Metric) -> tuple[str, ...]:
    """Of a family that may have no sample yet, where only the family itself knows."""
    names: tuple[str, ...] = getattr(family, "_labelnames", ())
    return names or tuple(family.samples[0].labels if family.samples else ())


if __name__ == "__main__":
    PAGE.write_text(write_page(PAGE.read_text()))
