"""The proxy's own figures, read over HTTP as Prometheus reads them."""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from dbproxy.errors import ProxyError
from dbproxy.observe.quantile import quantile

TIMEOUT = 10.0


@dataclass(frozen=True)
class Scrape:
    """One answer of `/metrics`."""

    text: str

    def samples(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        """Labels and value of every sample with this name."""
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                if sample.name == name:
                    yield sample.labels, sample.value

    def total(self, name: str) -> int:
        """All samples of this name together."""
        return int(sum(value for _, value in self.samples(name)))

    def quantile(self, name: str, q: float, database: str) -> float:
        """Seconds that the share `q` of the histogram's durations is below."""
        found = [
            (float(labels["le"]), value)
            for labels, value in self.samples(f"{name}_bucket")
            if labels["database"] == database
        ]
        counts = [int(value) for _, value in found]
        buckets = [high - low for low, high in zip([0, *counts], counts, strict=False)]
        return quantile(buckets, [int(bound * 1e6) for bound, _ in found[:-1]], q) / 1e6


def fetch(address: tuple[str, int], path: str) -> str:
    """The body at `path`; ProxyError unless the answer is 200."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise ProxyError(f"http://{address[0]}:{address[1]}{path} does not answer: {error}") from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise ProxyError(f"http://{address[0]}:{address[1]}{path} answers {response.status}: {body[:200]}")
    return body
