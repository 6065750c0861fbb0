"""What has been found in a text so far; a `Statement` in the making."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.functions import EFFECTS
from dbproxy.sql.settings import OURS
from dbproxy.sql.source import called_names, judge_source
from dbproxy.sql.statement import ALL, CONSTANT, HARMLESS, READS, RESETS, SETS, Listen, Statement


@dataclass(slots=True)
class Findings:
    effects: int = 0
    settings: set[str] = field(default_factory=set)
    resets: set[str] = field(
        default_factory=set
    )  # settings that go back last; ALL of them, but for those in `stays`
    stays: set[str] = field(default_factory=set)
    prepares: list[str] = field(default_factory=list)
    deallocates: list[str] = field(default_factory=list)
    executes: list[str] = field(default_factory=list)
    listens: list[Listen] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    defines: set[str] = field(default_factory=set)
    databases: list[str] = field(default_factory=list)
    varies: bool = False
    modifies_within: bool = False
    bare: bool = False
    inserts_first: bool = False
    constants: int = 0
    local: set[str] = field(default_factory=set)
    reads: bool = False
    relations: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    begins: bool = False
    begins_read_only: bool = False
    modes: tuple[tuple[str, str], ...] = ()
    ends: bool = False
    chains: int = 0
    repeats: bool = False
    needs_primary: bool = False
    hint: str = ""
    cache_hint: str = ""
    wishes: list[tuple[str, str]] = field(default_factory=list)
    bodies: "Findings | None" = None  # of the functions that are defined

    def call(self, name: str, schema: str = "") -> None:
        """Note a call of `schema.name`; "" is what the search path finds."""
        self.effects |= EFFECTS.get(name, 0)
        if schema not in ("", "pg_catalog") or not (name in BUILTINS or name in EFFECTS):
            self.functions.add(name)

    def set(self, names: Iterable[str]) -> None:
        """Note that these settings get a value."""
        self.effects |= SETS
        self.settings.update(names)
        self.resets.difference_update(names)
        self.stays.update(names)

    def wish(self, name: str, value: str | None) -> None:
        """Note the literal that a setting of ours is given: texts of the shape differ in it."""
        if name.startswith(OURS):
            self.varies = True
            self.wishes += [(name, value)] if value is not None else []

    def reset(self, names: Iterable[str] = ()) -> None:
        """Note that these settings go back to their default; none are all of them."""
        self.effects |= RESETS
        self.settings.update(names)
        self.stays.difference_update(names)
        if names:
            self.resets.update(names)
        else:
            self.resets.add(ALL)
            self.stays.clear()

    def add_source(self, source: str) -> None:
        """Note what a source does that is run, or is the body that these findings are of."""
        self.varies = True
        effects, settings = judge_source(source)
        self.effects |= effects
        self.settings |= settings
        if effects & RESETS and settings and not effects & SETS:
            self.reset(settings)
        elif effects & RESETS:
            self.reset()
            self.stays |= settings
        for name in called_names(source):
            self.call(name)

    def statement(self, single: bool) -> Statement:
        bodies = self.bodies or Findings()
        found = Statement(
            effects=self.effects,
            settings=frozenset(self.settings),
            resets=frozenset(self.resets),
            stays=frozenset(self.stays) if ALL in self.resets else frozenset(),
            prepares=tuple(self.prepares),
            deallocates=tuple(self.deallocates),
            executes=tuple(self.executes),
            listens=tuple(self.listens),
            functions=frozenset(self.functions),
            defines=frozenset(self.defines),
            defined_effects=bodies.effects,
            defined_settings=frozenset(bodies.settings),
            defined_calls=frozenset(bodies.functions),
            databases=tuple(self.databases),
            varies=self.varies,
            single=single,
            modifies_within=self.modifies_within,
            bare=self.bare,
            inserts_first=self.inserts_first,
            constants=self.constants,
            local=frozenset(self.local),
            reads=self.reads,
            relations=frozenset(self.relations) if self.reads else frozenset(),
            calls=frozenset(self.calls) if self.reads else frozenset(),
            begins=self.begins,
            begins_read_only=self.begins_read_only,
            modes=self.modes,
            ends=self.ends,
            chains=self.chains,
            repeats=self.repeats,
            needs_primary=self.needs_primary,
            hint=self.hint,
            cache_hint=self.cache_hint,
            wishes=tuple(self.wishes),
        )
        return next((shared for shared in (HARMLESS, READS, CONSTANT) if found == shared), found)
