"""Quantiles of durations that were counted in buckets."""

from collections.abc import Sequence
from itertools import accumulate


def quantile(buckets: Sequence[int], bounds: Sequence[int], q: float) -> float:
    """The duration that the share `q` of all is below, in the unit of `bounds`; 0.0 if nothing was counted.

    Bucket `i` counts what is under `bounds[i]` and not under the one before; one more bucket counts the rest.
    Inside a bucket durations are taken to be spread evenly, as Prometheus' `histogram_quantile` does; of the
    last bucket only its lower bound is known.
    """
    rank = q * sum(buckets)
    if rank == 0:
        return 0.0
    for i, (count, below_or_in) in enumerate(zip(buckets, accumulate(buckets), strict=True)):
        if below_or_in >= rank and i < len(bounds):
            low = bounds[i - 1] if i else 0
            return low + (bounds[i] - low) * (1 - (below_or_in - rank) / count)
    return float(bounds[-1])
