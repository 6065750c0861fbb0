"""The leak hunt: hypothesis makes up stories, a stage plays them in both worlds, the first that differs is shortened.

We shorten stories ourselves, by leaving out steps: hypothesis took minutes, and left most of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.deeds import deeds
from tests.support.stage import Stage, Step, World

CLIENTS = 4
LENGTH = 80  # steps of a story
REPEATS = 5  # that the shortest story is told, until it fails with all patience
IMPATIENCE = 1.0  # seconds, while a story is shortened: not each that hangs may hang for long
STARTS: list[dict[str, str]] = [  # what clients ask for as they log in
    {},
    {},
    {"timezone": "Asia/Tokyo", "application_name": "one of many"},
    {"options": "-c work_mem=7MB -c search_path=public"},
    {"client_encoding": "LATIN1", "DateStyle": "SQL, DMY"},
    {"options": "-c role=app -c app.owner=started -c default_transaction_read_only=on"},
]
Fails = Callable[[list[Step]], bool]


@dataclass
class Hunt:
    """`groups`: of deeds; none are all."""

    direct: World
    judged: World
    groups: Sequence[str] = ()
    done: int = 0
    found: str = ""

    def run(self, steps: int, number: int) -> None:
        """Play stories until so many steps are done, the same for the same `number`; fails with the shortest story."""
        for batch in range(steps):
            if self.done >= steps or self.found:
                break
            self.run_batch((steps - self.done) // LENGTH + 1, number * 1000 + batch)
        assert not self.found, self.found

    def run_batch(self, stories: int, number: int) -> None:
        step = st.builds(Step, st.integers(0, CLIENTS - 1), st.sampled_from(STARTS), deeds(self.groups))
        limits = settings(
            max_examples=stories,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(limits(given(st.lists(step, min_size=LENGTH, max_size=LENGTH))(self.play)))()

    def play(self, steps: list[Step]) -> None:
        if self.found:
            return
        stage = Stage(self.direct, self.judged)
        trouble = stage.play(steps)
        self.done += len(stage.done)
        if trouble:
            self.found = self.explain(stage.done, trouble)

    def explain(self, steps: list[Step], trouble: str) -> str:
        """The shortest story, if it is one that can be told twice."""
        impatient = replace(self.judged, patience=IMPATIENCE)
        short = shorten(steps, lambda fewer: bool(Stage(self.direct, impatient).play(fewer)))
        for _ in range(REPEATS):
            stage = Stage(self.direct, self.judged)
            if again := stage.play(short):
                return tell(stage.done, again)
        return f"not seen again:{tell(steps, trouble)}"


def shorten(steps: list[Step], fails: Fails) -> list[Step]:
    """Fewer steps, and simpler ones, that still fail."""
    size = len(steps) // 2
    while size:
        fewer = leave_out(steps, size, fails)
        size = size // 2 if fewer == steps or size > 1 else size
        steps = fewer
    return without_starts(steps, fails)


def leave_out(steps: list[Step], size: int, fails: Fails) -> list[Step]:
    """Without each run of `size` that is not needed, from the end."""
    for place in range(len(steps) - size, -size, -size):
        fewer = steps[: max(0, place)] + steps[place + size :]
        if fails(fewer):
            steps = fewer
    return steps


def without_starts(steps: list[Step], fails: Fails) -> list[Step]:
    for number in {step.number for step in steps}:
        plain = [replace(step, start={}) if step.number == number else step for step in steps]
        if plain != steps and fails(plain):
            steps = plain
    return steps


def tell(steps: list[Step], trouble: str) -> str:
    """Who did what, and what came of it."""
    present: dict[int, Mapping[str, str]] = {}
    lines = []
    for step in steps:
        if step.number not in present:
            present[step.number] = step.start
            lines.append(f"client {step.number} enters {dict(step.start) or ''}".rstrip())
        lines.append(f"client {step.number}: {step.deed}")
        if step.deed.leaves:
            del present[step.number]
    return "\n".join(["", *lines, trouble])
