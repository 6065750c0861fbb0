"""`dbproxy demo` as a user runs it."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from dbproxy.demo.postgres import HOST, free_port

COMMAND = (sys.executable, "-m", "dbproxy", "demo")


def environment(**ports: int) -> dict[str, str]:
    chosen = {"DBPROXY_LISTEN__PORT": free_port(), "DBPROXY_HTTP__PORT": free_port(), **ports}
    return {**os.environ, **{name: str(port) for name, port in chosen.items()}}


def test_demo_holds_its_own_claims():
    done = subprocess.run(
        [*COMMAND, "--check"], env=environment(), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nok ") == 12
    assert "failed" not in done.stdout
    assert "\npage     http://127.0.0.1:" in done.stdout


@pytest.mark.parametrize(
    ("moment", "number"), [("clients log in", signal.SIGTERM), ("Ctrl-C ends every process", signal.SIGINT)]
)
def test_demo_that_is_ended_leaves_no_process(moment: str, number: signal.Signals):
    with subprocess.Popen(COMMAND, env=environment(), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if moment in line:
                break
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) > 4  # the proxy, three postmasters, their processes
        demo.send_signal(number)
        assert "every process has ended" in demo.stdout.read()
    assert demo.returncode == 0
    assert not any(child.is_running() for child in children)


def test_taken_port_is_told_with_its_setting():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            COMMAND,
            env=environment(DBPROXY_LISTEN__PORT=port),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"cannot listen on {HOST} port {port}" in done.stderr
    assert "DBPROXY_LISTEN__PORT=" in done.stderr
