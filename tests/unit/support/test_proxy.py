"""The proxy's handle, tried on a small program in its place that starts, logs and ends as it does."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.proxy import Proxy

URL = "postgresql://app:s%40crt@127.0.0.1:5432/shop"
LISTENS = """
import json, os, signal, socket, sys
def log(**line): print(json.dumps(line), file=sys.stderr, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGHUP, lambda *_: log(event="reload"))
log(event="start", arguments=sys.argv[1:], environment=dict(os.environ))
server = socket.create_server(("127.0.0.1", int(os.environ["DBPROXY_LISTEN__PORT"])))
while True:
    signal.pause()
"""


class Stand(Proxy):
    command = (sys.executable, "-c", LISTENS)


class Fails(Proxy):
    command = (sys.executable, "-c", "import sys; sys.exit('no such key: pool.sise')")


class Babbles(Proxy):
    command = (sys.executable, "-c", f"print('Traceback', flush=True)\n{LISTENS}")


def test_settings_go_by_the_environment_and_the_developers_own_stay_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGBOUNCER_PORT", "1")
    monkeypatch.setenv("DBPROXY_POOL__MODE", "session")
    with Stand(URL, settings={"pool.size": 2}) as proxy:
        (start,) = proxy.log_lines()
        seen = start["environment"]
        assert (seen["DATABASE_URL"], seen["DBPROXY_POOL__SIZE"]) == (URL, "2")
        assert (seen["DBPROXY_LISTEN__PORT"], seen["DBPROXY_HTTP__PORT"]) == (
            str(proxy.port),
            str(proxy.http_port),
        )
        assert "PGBOUNCER_PORT" not in seen
        assert "DBPROXY_POOL__MODE" not in seen
        assert start["arguments"] == []


def test_configuration_file_is_the_argument():
    with Stand(URL, config="[pool]\nsize = 3\n") as proxy:
        assert proxy.log_lines()[0]["arguments"] == [str(proxy.config_path)]
        assert proxy.config_path.read_text() == "[pool]\nsize = 3\n"


def test_pure_proxy_is_told_so():
    with Stand(URL, pure=True) as proxy:
        assert proxy.log_lines()[0]["environment"]["DBPROXY_PURE"] == "1"


def test_stop_gives_the_exit_code_and_the_proxy_can_start_again():
    with Stand(URL) as proxy:
        assert proxy.stop() == 7
        proxy.start()
        assert len(proxy.log_lines()) == 2
        assert proxy.kill() == -signal.SIGKILL


def test_proxy_that_ends_at_once_is_quoted():
    with pytest.raises(AssertionError, match=r"exit code 1\)[^$]*no such key: pool.sise"), Fails(URL):
        pass


def test_left_proxy_is_gone_with_its_folder():
    with Stand(URL) as proxy:
        process, folder = psutil.Process(proxy.pid), Path(proxy.folder.name)
        assert proxy.rss() > 1_000_000
    assert not process.is_running()
    assert not folder.exists()


async def test_awaits_a_line_of_the_log():
    async with Stand(URL) as proxy:
        proxy.send(signal.SIGHUP)
        assert await proxy.logged(lambda line: line["event"] == "reload") == {"event": "reload"}


def test_line_that_is_not_json_fails_the_test():
    with Babbles(URL) as proxy, pytest.raises(AssertionError, match="Traceback"):
        proxy.log_lines()


def test_url_for_clients_keeps_what_is_not_given():
    proxy = Proxy(URL)
    assert proxy.dsn() == f"postgresql://app:s%40crt@127.0.0.1:{proxy.port}/shop"
    assert proxy.dsn("other", "me", "p/w") == f"postgresql://me:p%2Fw@127.0.0.1:{proxy.port}/other"
    proxy.close()
