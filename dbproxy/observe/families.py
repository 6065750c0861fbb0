"""Families of metrics: those that read each a number of the same figures, those of numbers by a key, histograms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar as Example

from dbproxy.observe.exemplars import Exemplar
from dbproxy.observe.figures import TimeFigures
from dbproxy.observe.labels import label

T = TypeVar("T")
Family = GaugeMetricFamily | CounterMetricFamily
Bucket = tuple[str, float] | tuple[str, float, Example]
NO_EXEMPLARS: Mapping[int, Exemplar] = MappingProxyType({})
Readings = Mapping[str, tuple[str, Callable[[T], float]]]  # by name: the help, and the number


def read_all(
    kind: type[Family],
    readings: Readings[T],
    items: Sequence[T],
    labels: Sequence[str],
    values: Callable[[T], Sequence[str]],
) -> Iterator[Metric]:
    """A family for each of the readings, in it a sample for each item; `values`: its labels'."""
    for name, (help_text, read) in readings.items():
        family = kind(name, help_text, labels=labels)
        for item in items:
            family.add_metric(values(item), read(item))
        yield family


def by_key(family: Family, counts: Mapping[str, float], values: Sequence[str] = ()) -> Family:
    """The family, with a sample for each key, which is its last label; `values`: those of the others."""
    for key, count in counts.items():
        family.add_metric((*values, label(key)), count)
    return family


def spell_bounds(bounds: Sequence[float]) -> list[str]:
    """A histogram's upper bounds, in seconds, as labels; the last bucket has none."""
    return [*map(repr, bounds), "+Inf"]


def cumulate(
    bounds: Sequence[str], buckets: Sequence[int], exemplars: Mapping[int, Exemplar] = NO_EXEMPLARS
) -> list[Bucket]:
    """Prometheus' buckets of ours, each with those below it, and its example if there is one."""
    counted = zip(bounds, accumulate(map(float, buckets)), strict=True)
    return [
        (bound, count, _show(exemplars[i])) if i in exemplars else (bound, count)
        for i, (bound, count) in enumerate(counted)
    ]


def _show(exemplar: Exemplar) -> Example:
    return Example({"trace_id": exemplar.trace_id}, exemplar.seconds, exemplar.at)


def histogram(name: str, help_text: str, times: TimeFigures) -> Metric:
    family = HistogramMetricFamily(name, help_text)
    family.add_metric((), cumulate(spell_bounds(times.bounds), times.buckets), times.seconds)
    return family
