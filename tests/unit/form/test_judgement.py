"""The form script, on small packages made for it."""

import ast
from pathlib import Path

import pytest

from tests.form.__main__ import shrink
from tests.form.functions import complexity
from tests.form.imports import find_circle, find_imports
from tests.form.judgement import Measure, judge, judge_imports
from tests.form.objects import fields_of
from tests.form.source import Function, Module, read_package

LISTED = Path("exceptions.toml")


def package(**texts: str) -> dict[str, Module]:
    """Modules `p.NAME`."""
    return {
        f"p.{name}": Module(f"p.{name}", Path(f"p/{name}.py"), ast.parse(text))
        for name, text in texts.items()
    }


def fields(modules: dict[str, Module], name: str, module: str = "p.m") -> dict[str, bool]:
    home = modules[module]
    node = next(part for part in home.tree.body if isinstance(part, ast.ClassDef) and part.name == name)
    return fields_of(modules, home, node)


def exceeding(count: int, limit: int | None) -> list[str]:
    measures = iter([Measure("p/m.py:3", "p.m:f", "complexity", count)])
    return list(judge(measures, {"complexity": {} if limit is None else {"p.m:f": limit}}, LISTED))


def test_what_a_method_assigns_is_a_field():
    text = """
class A:
    def __init__(self, flag: bool, size: int):
        self.flag = flag
        self.first, self.second = size, self
        self.open = False
        self.full = size > 3
        self.later: str | None = None
        other.not_mine = True
    def act(self):
        self.told = not self.open
    @property
    def shown(self): ...
    @shown.setter
    def shown(self, value): self.shown = value
"""
    found = fields(package(m=text), "A")
    assert {name for name, boolean in found.items() if boolean} == {"flag", "open", "full", "told"}
    assert {name for name, boolean in found.items() if not boolean} == {"first", "second", "later"}


def test_fields_of_slots_and_dataclasses_count():
    slots = "class A:\n    __slots__ = ('x', 'y')"
    data = "@dataclass\nclass A:\n    z: int\n    on: bool = True\n    K: ClassVar[int] = 1"
    assert fields(package(m=slots), "A") == {"x": False, "y": False}
    assert fields(package(m=data), "A") == {"z": False, "on": True}


def test_inherited_fields_count_also_from_another_module():
    base = "class Base:\n    def __init__(self):\n        self.a = 1\n        self.b = True"
    text = "from p.base import Base as B\nclass A(B):\n    def __init__(self):\n        self.a = 2\n        self.c = 3"
    assert fields(package(base=base, m=text), "A") == {"a": False, "b": True, "c": False}


def test_a_protocol_has_no_fields_of_its_own():
    assert fields(package(m="class A(Protocol):\n    x: int"), "A") == {}


def test_what_the_pxd_declares_is_a_field(tmp_path: Path):
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "m.py").write_text("class A:\n    pass\n")
    (folder / "m.pxd").write_text(
        "cdef class A(B):\n    cdef public bint one, two\n    cdef readonly long long three\n    cdef double[4] four\n"
        "\n    cpdef bint act(self)\n    cdef move(self, int x)\n\ncdef class C:\n    cdef int five\n"
    )
    modules = read_package(folder)
    assert fields(modules, "A") == {"one": True, "two": True, "three": False, "four": False}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("pass", 1),
        ("if a:\n  pass\n elif b:\n  pass\n else:\n  pass", 3),
        ("while a and b or c:\n  pass", 4),
        ("return 1 if a else 2", 2),
        ("return [x for x in y if x if z]", 4),
        ("try:\n  pass\n except A:\n  pass\n except B:\n  pass", 3),
        ("match a:\n  case 1:\n   pass\n  case _:\n   pass", 3),
        ("def inner():\n  for x in y: pass", 2),
    ],
)
def test_complexity_counts_where_the_flow_parts(body: str, expected: int):
    function = ast.parse(f"def f():\n {body}").body[0]
    assert isinstance(function, Function)
    assert complexity(function) == expected


def test_an_import_for_types_or_in_a_function_closes_a_circle():
    modules = package(
        a="import p.b",
        b="if TYPE_CHECKING:\n    from p.c import C",
        c="def f():\n    from p import a",
        d="from p.a import x",
    )
    edges = find_imports(modules)
    assert sorted(edges) == [("p.a", "p.b"), ("p.b", "p.c"), ("p.c", "p.a"), ("p.d", "p.a")]
    assert sorted(find_circle(edges)) == ["p.a", "p.b", "p.c"]


def test_a_cimport_closes_a_circle():
    modules = package(a="", b="import p.a")
    modules["p.a"] = modules["p.a"]._replace(pxd="from p.b cimport B\n")
    assert sorted(find_circle(find_imports(modules))) == ["p.a", "p.b"]


def test_each_circle_is_a_line_and_an_exception_opens_it():
    modules = package(a="import p.b", b="import p.a")
    assert list(judge_imports(modules, [], LISTED)) == [
        "p/a.py:1: p.a -> p.b: closes a circle of 2 imports, limit 0: p.b -> p.a"
    ]
    assert list(judge_imports(modules, [("p.b", "p.a")], LISTED)) == []


@pytest.mark.parametrize("edge", [("p.a", "p.b"), ("p.b", "p.a"), ("p.b", "p.x")])
def test_an_import_is_not_allowed_without_need(edge: tuple[str, str]):
    modules = package(a="import p.b", b="")
    assert [line for line in judge_imports(modules, [edge], LISTED) if "closes no circle" in line]


def test_what_is_over_the_limit_is_told_with_its_place():
    assert exceeding(15, None) == []
    assert exceeding(16, None) == ["p/m.py:3: p.m:f: complexity 16, limit 15"]
    assert exceeding(21, 20) == ["p/m.py:3: p.m:f: complexity 21, limit 20"]


def test_an_exception_is_no_larger_than_needed():
    assert exceeding(20, 20) == []
    assert exceeding(19, 20) == ["exceptions.toml: p.m:f: exception of complexity 20 needs 19"]
    assert exceeding(15, 20) == ["exceptions.toml: p.m:f: exception of complexity 20 is no longer needed"]


def test_an_exception_for_what_is_gone_is_told():
    assert list(judge(iter(()), {"fields": {"p.m:A": 30}}, LISTED)) == [
        "exceptions.toml: p.m:A: exception of fields for what is not there"
    ]


def test_the_list_shrinks_and_never_grows():
    text = (
        '[fields]\n"a" = [30, "why"]\n"b" = [30, "why"]\n"c" = [30, "why"]\n[complexity]\n"a" = [20, "why"]\n'
    )
    counts = {("fields", "a"): 25, ("fields", "b"): 40, ("fields", "c"): 20, ("complexity", "a"): 20}
    assert shrink(text, counts) == (
        '[fields]\n"a" = [25, "why"]\n"b" = [30, "why"]\n[complexity]\n"a" = [20, "why"]\n'
    )
