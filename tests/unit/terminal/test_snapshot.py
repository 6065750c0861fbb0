from typing import Any

import pytest

from dbproxy.errors import ServerRefused
from dbproxy.terminal.result import Result
from dbproxy.terminal.snapshot import Observer


class FakeConsole:
    def __init__(self, *known: str) -> None:
        self.known = known
        self.asked: list[str] = []

    def ask(self, query: str) -> list[Result]:
        self.asked.append(query)
        if query.removeprefix("SHOW ") not in self.known:
            raise ServerRefused(f"invalid command '{query}', use SHOW HELP;")
        return [Result([("list", 25)], [["x"]])]


def test_what_the_console_does_not_know_is_not_asked_again():
    console: Any = FakeConsole("POOLS")
    observer = Observer(("pools", "queries"))
    for _ in range(2):
        snapshot = observer.look(console, 1.0)
        assert snapshot.tables.keys() == {"pools"}
        assert snapshot.rows("queries") == []
    assert console.asked == ["SHOW POOLS", "SHOW QUERIES", "SHOW POOLS"]


def test_another_error_is_an_error():
    class Broken(FakeConsole):
        def ask(self, query: str) -> list[Result]:
            raise ServerRefused("internal error in the proxy")

    console: Any = Broken()
    with pytest.raises(ServerRefused):
        Observer(("pools",)).look(console, 1.0)


def test_a_list_of_thousands_who_wait_is_not_asked_for():
    class Crowded(FakeConsole):
        def ask(self, query: str) -> list[Result]:
            self.asked.append(query)
            return [Result([("cl_waiting", 23)], [["600"], ["600"]])]

    console: Any = Crowded()
    assert Observer(("pools", "waits")).look(console, 1.0).tables.keys() == {"pools"}
    assert console.asked == ["SHOW POOLS"]
