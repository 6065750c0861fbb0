import http.server
import threading
from collections.abc import Iterator

import pytest

from dbproxy.demo.postgres import HOST, free_port
from dbproxy.demo.scrape import Scrape, fetch
from dbproxy.errors import ProxyError

TEXT = """\
# TYPE dbproxy_wait_duration_seconds histogram
dbproxy_wait_duration_seconds_bucket{database="demo",le="0.001"} 2
dbproxy_wait_duration_seconds_bucket{database="demo",le="0.003"} 4
dbproxy_wait_duration_seconds_bucket{database="demo",le="+Inf"} 4
dbproxy_wait_duration_seconds_bucket{database="other",le="0.001"} 90
dbproxy_wait_duration_seconds_bucket{database="other",le="0.003"} 90
dbproxy_wait_duration_seconds_bucket{database="other",le="+Inf"} 90
dbproxy_wait_duration_seconds_count{database="demo"} 4
# TYPE dbproxy_clients gauge
dbproxy_clients{state="active"} 3
dbproxy_clients{state="idle"} 5
"""


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 500)
        self.end_headers()
        self.wfile.write(b"answer")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with http.server.HTTPServer((HOST, 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield HOST, server.server_port
        server.shutdown()
        thread.join()


def test_total_is_over_all_labels():
    assert Scrape(TEXT).total("dbproxy_clients") == 8
    assert Scrape(TEXT).total("no_such_metric") == 0


def test_quantile_is_of_one_database_and_in_seconds():
    assert Scrape(TEXT).quantile("dbproxy_wait_duration_seconds", 0.5, "demo") == pytest.approx(0.001)
    assert Scrape(TEXT).quantile("dbproxy_wait_duration_seconds", 0.75, "demo") == pytest.approx(0.002)


def test_quantile_of_nothing_is_zero():
    assert Scrape("").quantile("dbproxy_wait_duration_seconds", 0.5, "demo") == 0


def test_body_is_returned_of_an_answer_200_only(address: tuple[str, int]):
    assert fetch(address, "/metrics") == "answer"
    with pytest.raises(ProxyError, match="/health answers 500: answer"):
        fetch(address, "/health")


def test_nobody_listening_is_told_with_the_address():
    port = free_port()
    with pytest.raises(ProxyError, match=f"http://127.0.0.1:{port}/metrics does not answer"):
        fetch((HOST, port), "/metrics")
