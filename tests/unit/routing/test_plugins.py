"""Users' own Python: what it is given, what becomes of its answers, and when it is switched off."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import structlog

from dbproxy.errors import ConfigurationError
from dbproxy.pool.parameters import Parameters
from dbproxy.routing import plugins
from dbproxy.routing.plugins import PRIMARY, REPLICA, Plugin, load_plugin, replica
from dbproxy.sql.parser import classify
from tests.unit.cluster.hosts import member

POOL = SimpleNamespace(database="shop", user="app")
READ = classify(b"SELECT total(id), upper(name) FROM orders")
SETTINGS = Parameters({"application_name": "report", "work_mem": "1MB"})


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def ask(plugin: Plugin, statement: Any = READ, settings: Parameters = SETTINGS) -> str:
    return plugin.route(statement, settings, POOL, [member(seconds=2.0)])


class Answers:
    """A plugin that notes what it is given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.given: list[Any] = []

    def __call__(self, *given: Any) -> Any:
        self.given.append(given)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_it_is_given_facts_that_it_cannot_change():
    function = Answers(None)
    assert ask(Plugin("p", function)) == ""
    statement, session, cluster = function.given[0]
    assert (statement.reads, statement.relations, statement.functions) == (
        True,
        {"orders"},
        {"total", "upper"},
    )
    assert (session.database, session.user, session.application_name) == ("shop", "app", "report")
    assert session.settings["work_mem"] == "1MB"
    assert cluster.hosts == (plugins.Host("replica1", "replica", "up", 2.0),)
    with pytest.raises(TypeError):
        session.settings["work_mem"] = "2MB"
    with pytest.raises(AttributeError):
        statement.reads = False


@pytest.mark.parametrize(
    ("answer", "hint"),
    [(None, ""), (PRIMARY, "primary"), (REPLICA, "replica"), (replica("r 2"), "replica(r 2)")],
)
def test_its_answer_is_a_hint(answer: Any, hint: str):
    assert ask(Plugin("p", Answers(answer))) == hint


def test_it_is_asked_once_for_equal_statements_and_settings():
    function = Answers(PRIMARY)
    plugin = Plugin("p", function)
    other = Parameters({"application_name": "web"})
    for _ in range(3):
        ask(plugin)
        ask(plugin, settings=other)
        ask(plugin, statement=classify(b"VALUES (1)"))
    assert len(function.given) == 3


def test_it_is_asked_each_time_if_it_says_so():
    function = Answers(PRIMARY, None)
    function.cacheable = False  # type: ignore[attr-defined]
    plugin = Plugin("p", function)
    assert [ask(plugin), ask(plugin)] == ["primary", ""]


@pytest.mark.parametrize("answer", [ZeroDivisionError(), "primary", plugins.Route("standby")])
def test_it_is_switched_off_when_it_fails(log: list[Any], answer: Any):
    function = Answers(answer, PRIMARY)
    plugin = Plugin("mine:route", function)
    assert [ask(plugin), ask(plugin)] == ["", ""]
    assert [(line["event"], line["plugin"]) for line in log] == [("plugin switched off", "mine:route")]


def test_it_is_switched_off_when_it_is_slow_again_and_again(log: list[Any]):
    plugin = Plugin("p", Answers(PRIMARY))
    assert ask(plugin) == "primary"
    for _ in range(plugins.WINDOW):
        plugin.time(0.003)
    assert ask(plugin) == ""
    assert log[0]["event"] == "plugin switched off"


def test_one_slow_call_is_no_reason():
    plugin = Plugin("p", Answers(PRIMARY))
    plugin.time(5.0)
    for _ in range(3 * plugins.WINDOW):
        plugin.time(0.0001)
    assert ask(plugin) == "primary"


def test_it_is_found_by_its_dotted_path(monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("mine")
    module.route = Answers(PRIMARY)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine", module)
    plugin = load_plugin("mine:route")
    assert plugin is not None
    assert ask(plugin) == "primary"
    assert load_plugin("") is None


def test_it_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch):
    entry = SimpleNamespace(load=lambda: Answers(PRIMARY))
    found = {("dbproxy.routing", "mine"): [entry]}
    monkeypatch.setattr(plugins, "entry_points", lambda group, name: found[group, name])
    plugin = load_plugin("mine")
    assert plugin is not None
    assert ask(plugin) == "primary"


@pytest.mark.parametrize("name", ["nowhere", "nowhere:route", "sys:nothing", "sys:path"])
def test_what_is_no_plugin_is_a_mistake_of_the_configuration(name: str):
    with pytest.raises(ConfigurationError, match=f"routing.plugin: {name}"):
        load_plugin(name)


def test_plugin_that_is_not_found_says_where_it_is_looked_for():
    with pytest.raises(ConfigurationError, match="no such entry point") as failure:
        load_plugin("nowhere")
    assert "PYTHONPATH" in failure.value.hint
