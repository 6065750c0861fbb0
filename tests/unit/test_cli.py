import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from dbproxy.cli import app, main
from dbproxy.config import Settings
from dbproxy.errors import ServerUnavailable

URL = "postgresql://app:hunter2@db.internal/app"


def run(*words: str, **environ: str) -> Result:
    environ.setdefault("DATABASE_URL", "")
    return CliRunner().invoke(app, list(words), env=dict(environ), catch_exceptions=False)


def serve_with(monkeypatch: pytest.MonkeyPatch, serve: Callable[[Callable[[], Settings]], int]) -> None:
    """Put `serve` where the proxy's own would be imported from."""
    module = ModuleType("dbproxy.app.lifecycle")
    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dbproxy.app.lifecycle", module)


def test_version_is_shown():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("dbproxy 0.")


def test_serve_hands_over_settings_that_are_read_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "dbproxy.toml"
    path.write_text("[pool]\nsize = 1\n")
    sizes = []

    def serve(load: Callable[[], Settings]) -> int:
        sizes.append(load().pool.size)
        path.write_text("[pool]\nsize = 2\n")
        sizes.append(load().pool.size)
        return 0

    serve_with(monkeypatch, serve)
    assert run("serve", str(path), "--set", "http.port=0", DATABASE_URL=URL).exit_code == 0
    assert sizes == [1, 2]


def test_the_settings_file_is_named_as_for_the_commands_that_ask(tmp_path: Path):
    path = tmp_path / "dbproxy.toml"
    path.write_text("[pool]\nsize = 7\n")
    assert "pool.size = 7" in run("check", "--config", str(path), DATABASE_URL=URL).stdout
    twice = run("check", str(path), "--config", str(path), DATABASE_URL=URL)
    assert (twice.exit_code, "two are given" in twice.stderr) == (2, True)
    url = run("serve", "--config", URL)
    assert (url.exit_code, "hunter2" in url.output) == (2, False)


def test_serves_exit_code_is_the_proxys(monkeypatch: pytest.MonkeyPatch):
    serve_with(monkeypatch, lambda load: 1)
    assert run("serve", DATABASE_URL=URL).exit_code == 1


def test_an_error_of_the_proxy_is_a_message_and_exit_1(monkeypatch: pytest.MonkeyPatch):
    def serve(load: Callable[[], Settings]) -> int:
        raise ServerUnavailable("port 6432 is taken", hint="set listen.port")

    serve_with(monkeypatch, serve)
    result = run("serve", DATABASE_URL=URL)
    assert result.exit_code == 1
    assert result.stderr == "dbproxy: port 6432 is taken\n  set listen.port\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_without_a_primary_both_ways_to_set_it_are_told(command: str):
    result = run(command)
    assert result.exit_code == 2
    assert "DATABASE_URL=" in result.stderr
    assert "[primary]" in result.stderr


@pytest.mark.parametrize("command", ["serve", "check"])
def test_mistakes_are_listed_with_exit_2(command: str, tmp_path: Path):
    path = tmp_path / "dbproxy.toml"
    path.write_text('[primary]\nurl = "postgresql://app:hunter2@h/d"\n[pool]\nsize = "many"\nmod = 1\n')
    result = run(command, str(path))
    assert result.exit_code == 2
    assert f'{path}:4: pool.size = "many"' in result.stderr
    assert f"{path}:5: pool.mod: unknown key" in result.stderr
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_mistake_in_the_users_file_is_told_with_its_line(command: str, tmp_path: Path):
    users = tmp_path / "users.txt"
    users.write_text('"app" "hunter2"\n"bob" hunter3\n')
    result = run(command, "--set", f"auth.file={users}", DATABASE_URL=URL)
    assert result.exit_code == 2
    assert f"{users}:2: not a user" in result.stderr
    assert "hunter" not in result.output


def test_users_file_that_is_no_text_is_a_mistake(tmp_path: Path):
    users = tmp_path / "users.txt"
    users.write_bytes(b'"app" "hunter2\xff"\n')
    result = run("check", "--set", f"auth.file={users}", DATABASE_URL=URL)
    assert result.exit_code == 2
    assert f"{users}: must be UTF-8 text" in result.stderr
    assert "hunter2" not in result.output


def test_check_shows_what_differs_and_what_to_beware_of():
    result = run(
        "check",
        "--set",
        "pool.size=7",
        DATABASE_URL=f"{URL}?schema=x",
        DATABASE_READ_REPLICAS=URL,
        DBPROXY_ROUTING__MODE="off",
    )
    assert result.exit_code == 0
    assert "  primary.url = postgresql://app:***@db.internal:5432/app\n" in result.stdout
    assert "  pool.size = 7\n" in result.stdout
    assert 'warning: replicas are configured, but routing.mode is "off"' in result.stdout
    assert "warning: primary.url has parameters that dbproxy does not use: schema" in result.stdout
    assert "listen.port" not in result.stdout


@pytest.mark.parametrize("word", ["pool.size", "=5", "primary.url postgresql://u:hunter2@h/d?a=b"])
def test_a_malformed_override_is_bad_usage(word: str):
    result = run("check", "--set", word, DATABASE_URL=URL)
    assert result.exit_code == 2
    assert "section.key=value" in result.output
    assert "hunter2" not in result.output


def test_an_unknown_option_is_bad_usage():
    assert run("serve", "--fast").exit_code == 2


@pytest.mark.parametrize(("words", "checks"), [(["demo"], False), (["demo", "--check"], True)])
def test_demo_runs_with_its_check(monkeypatch: pytest.MonkeyPatch, words: list[str], checks: bool):
    asked: list[bool] = []

    def run_demo(check: bool) -> int:
        asked.append(check)
        return 1

    monkeypatch.setattr("dbproxy.demo.run", run_demo, raising=False)
    assert run(*words).exit_code == 1
    assert asked == [checks]


def test_explain_needs_no_configuration():
    result = run("explain", "SELECT own() FROM items")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "A replica may answer it: it is a read."
    assert "own must be known" in result.stdout
    assert "It goes to the primary" in run("explain", "DELETE FROM items").stdout


def test_importing_the_command_line_imports_nothing_heavy():
    heavy = ("pydantic", "uvloop", "aiohttp", "asyncio")
    code = f"import sys, dbproxy.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["run", "UPDATE t SET n = 1 WHERE {chunk}"], ["copy", "--into", "u"]])
def test_batch_has_nothing_of_the_proxy_in_its_memory(words: list[str]):
    words = ["dbproxy", "batch", *words, "--table", "t", "--url", "postgresql://u@127.0.0.1:1/d"]
    heavy = ("aiohttp", "construct", "google.protobuf", "postgast", "prometheus_client", "rich", "uvloop")
    ours = ("admin", "app.proxy", "cluster.cluster", "pool", "session")
    names = [*heavy, *(f"dbproxy.{name}" for name in ours)]
    code = (
        "import atexit, sys, dbproxy.cli as c;"
        f"atexit.register(lambda: print([name for name in {names} if name in sys.modules]));"
        f"sys.argv = {words}; c.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "[]\n"), done.stderr


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "dbproxy", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("dbproxy 0.")


@pytest.mark.parametrize("command", ["serve", "check"])
def test_url_in_the_files_place_is_not_repeated(command: str):
    result = run(command, "postgresql://app:hunter2@h/db")
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert "DATABASE_URL" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["postgresql://app:hunter2@h/db"],
        ["check", "dbproxy.toml", "postgresql://app:hunter2@h/db"],
        ["serve", "host=h password=hunter2"],
        ["check", "dbproxy.toml", "password=hunter2"],
        ["check", "--url=postgresql://app:hunter2@h/db"],
        ["check", "--set=postgresql://app:hunter2@h/db"],
        ["admin", "postgresql://app:hunter2@h/db"],
        ["admin", "SHOW STATE", "postgresql://app:hunter2@h/db"],
        ["top", "postgresql://app:hunter2@h/db"],
        ["admin", "SHOW STATE", "--config", "postgresql://app:hunter2@h/db"],
    ],
)
def test_no_message_of_bad_usage_repeats_a_password(words: list[str]):
    done = subprocess.run([sys.executable, "-m", "dbproxy", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "password", ["hun/hunter2", "12/hunter2", "1?a=hunter2/", "1@2/hunter2", "12/3?hunter2", "1/2?a=hunter2"]
)
def test_check_and_the_start_show_no_part_of_a_raw_password(password: str):
    for name in ("DATABASE_URL", "DATABASE_READ_REPLICAS", "DBPROXY_DATABASES__A__PRIMARY__URL"):
        urls = {"DATABASE_URL": URL, name: f"postgresql://app:{password}@h/db"}
        result = run("check", **urls)
        assert result.exit_code == 2
        assert "percent-encoded" in result.stderr
        assert "hunter" not in result.output


def test_check_names_the_url_whose_certificates_do_not_serve():
    result = run("check", DATABASE_URL=f"{URL}?sslmode=verify-full&sslrootcert=/nowhere.pem")
    assert result.exit_code == 2
    assert 'primary.url: certificate authorities "/nowhere.pem" cannot be read' in result.stderr


def test_sql_for_the_console_may_hold_any_word(monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    monkeypatch.setattr("dbproxy.cli.app", lambda: told.append("ran"))
    monkeypatch.setattr(sys, "argv", ["dbproxy", "admin", "EXPLAIN ROUTE SELECT password FROM users"])
    main()
    assert told == ["ran"]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_tracing_without_its_package_is_a_mistake_that_names_the_key(
    monkeypatch: pytest.MonkeyPatch, command: str
):
    monkeypatch.setattr("dbproxy.app.tracing.PACKAGE", "opentelemetry_that_is_not_there.proto")
    result = run(command, DATABASE_URL=URL, DATADOG_ENABLED="true")
    assert result.exit_code == 2
    assert "tracing.mode" in result.stderr
    assert "pip install 'dbproxy[tracing]'" in result.stderr
    assert run("check", DATABASE_URL=URL, DBPROXY_TRACING__MODE="observe").exit_code == 0


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the console was asked; it answers with a notice."""
    asked: list[str] = []

    def answer(address: object, commands: list[str], chosen: object) -> list[tuple[str, list[str]]]:
        asked.extend(commands)
        return [("", ["NOTICE: it is so"])]

    monkeypatch.setattr("dbproxy.terminal.command.run_commands", answer)
    return asked


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["explain", "tenant", "it's"], "EXPLAIN LIMIT 'tenant' 'it''s'"),
        (["reset", "app.tenant_id", "acme"], "RESET LIMIT 'app.tenant_id' 'acme'"),
        (["set", "tenant", "acme", "500/min burst 50"], "SET LIMIT 'tenant' 'acme' = '500/min burst 50'"),
        (["set", "tenant", "acme", "pro", "--for", "1h"], "SET LIMIT 'tenant' 'acme' = 'pro' FOR '1h'"),
        (["top", "--limit", "5", "--format", "json"], "SHOW LIMITS LIMIT 5"),
    ],
)
def test_limits_are_ordered_on_the_console(console: list[str], words: list[str], command: str):
    result = run("limits", *words, DATABASE_URL=URL)
    assert (result.exit_code, result.stdout) == (0, "it is so\n")
    assert console == [command]


def test_refusals_are_reported_from_files_and_from_standard_input(tmp_path: Path):
    line = (
        '{"timestamp": "2026-11-29T04:34:24Z", "event": "request refused", "sqlstate": "53400", '
        '"rule": "tenant", "key": "acme", "tier": "free"}\n'
    )
    log = tmp_path / "log"
    log.write_text(line * 2 + "Traceback\n")
    result = run("limits", "report", str(log), "--format", "csv")
    assert result.stdout == "hour,tier,rule,key,refused\n2026-11-29 04:00,free,tenant,acme,2\n"
    assert result.stderr == "1 of 3 lines are not the proxy's\n"
    result = CliRunner().invoke(app, ["limits", "report", "--format", "json"], input=line)
    assert '"refused": 1' in result.stdout


def test_report_of_what_is_no_log_fails(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("a line\n")
    result = run("limits", "report", str(log))
    assert result.exit_code == 1
    assert "log.format = json" in result.stderr
