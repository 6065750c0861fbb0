from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbproxy.errors import ProtocolViolation
from dbproxy.wire.due import Due
from dbproxy.wire.pipeline import CLOSE_COMPLETE, FAKE, HALF, PARSE_COMPLETE, SKIP, TAIL, Pipeline
from tests.unit.wire.postgres_model import Postgres, Step


@dataclass(frozen=True)
class Note(Due):
    text: str = ""


FAKED = {PARSE_COMPLETE: "1", CLOSE_COMPLETE: "3"}


class Between:
    """The proxy as far as the pipeline decides: sends steps to PostgreSQL, and says what the client sees."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()
        self.server = Postgres()
        self.taken = 0
        self.seen = ""

    def send(self, step: Step) -> None:
        pipeline = self.pipeline
        if pipeline.ignoring and step.kind != "S":
            self.server.receive(Step(step.kind))  # as session.intake: passed on, and owed nothing
            return
        for kind, fails in step.ours:
            pipeline.skip(ord(kind), Note(f"{kind}, ours"))
            self.server.receive(Step(kind, fails))
        if step.faked:
            pipeline.fake(ord(step.kind), Note(f"{step.kind}, faked"))
            return
        if step.kind not in "dH":
            pipeline.expect(ord("c" if step.kind == "f" else step.kind), Note(f"{step.kind}, the client's"))
        self.server.receive(step)

    def waits(self) -> bool:
        return self.taken < len(self.server.replies)

    def receive(self) -> None:
        """One reply, as pool.relay treats it."""
        reply = self.server.replies[self.taken]
        self.taken += 1
        self.seen += self.fakes()
        if reply == "E":
            self.pipeline.fail()
            self.seen += "E"
            return
        if not self.pipeline.receive(ord(reply)):
            self.seen += reply
        if reply == "G":
            self.pipeline.copy_in()

    def fakes(self) -> str:
        replies = self.pipeline.take_fakes()
        return "".join(FAKED[replies[at : at + 5]] for at in range(0, len(replies), 5))


fails = st.integers(0, 5).map(lambda draw: draw == 0)
ours = st.lists(st.tuples(st.sampled_from("PC"), fails), max_size=2).map(tuple)
plain = st.one_of(
    st.builds(Step, st.sampled_from("BDE"), fails, ours=ours),
    st.builds(Step, st.sampled_from("PC"), fails, ours=ours),
    st.builds(Step, st.sampled_from("PC"), faked=st.just(True)),
    st.builds(Step, st.sampled_from("QF"), fails),
    st.builds(Step, st.just("S"), fails),
    st.builds(Step, st.sampled_from("HHdcf")),
)


@st.composite
def copies(draw: st.DrawFn) -> list[Step]:
    """A command that reads COPY data, with its data; Flush and Sync may stand among them."""
    kind = draw(st.sampled_from("EQ"))
    number = draw(st.integers(1, 3)) if kind == "Q" else 1
    steps = [Step(kind, copies=number)]
    for _ in range(number):
        steps += draw(st.lists(st.sampled_from("ddHS").map(Step), max_size=4))
        end = draw(st.sampled_from("cccf"))
        steps.append(Step(end))
        if end == "f":
            break
    return steps


conversations = st.lists(plain.map(lambda step: [step]) | copies(), max_size=15).map(
    lambda parts: [step for part in parts for step in part] + [Step("S"), Step("S")]
)


@settings(max_examples=500)
@given(conversations, st.data())
def test_client_sees_what_a_direct_connection_would_show(steps: list[Step], data: st.DataObject):
    """Whatever is sent before whichever replies have come."""
    direct, between = Postgres(), Between()
    for step in steps:
        first = next((number for number, (_, failed) in enumerate(step.ours) if failed), None)
        direct.receive(Step(step.kind, step.fails or first is not None, step.copies))
    waiting = deque(steps)
    while waiting or between.waits():
        if waiting and (not between.waits() or data.draw(st.booleans())):
            between.send(waiting.popleft())
        else:
            between.receive()
    assert between.seen + between.fakes() == direct.replies
    assert between.pipeline.empty()
    assert (between.pipeline.fakes, between.pipeline.copying, between.pipeline.ignoring) == (0, False, False)


@settings(max_examples=300)
@given(conversations, st.data())
def test_end_that_is_foretold_comes_without_the_client(steps: list[Step], data: st.DataObject):
    between = Between()
    for step in steps[: data.draw(st.integers(0, len(steps)))]:
        between.send(step)
        while between.waits() and data.draw(st.booleans()):
            between.receive()
    foretold, asked = between.pipeline.will_end(), False
    while between.waits():
        asked |= between.server.replies[between.taken] == "G"
        between.receive()
    between.fakes()
    if foretold and not asked:
        assert between.pipeline.empty()


# --- one by one ---------------------------------------------------------------------------------------------


def due(*kinds: str) -> Pipeline:
    pipeline = Pipeline()
    for kind in kinds:
        pipeline.expect(ord(kind), Note(kind))
    return pipeline


@pytest.mark.parametrize("reply", "123Z")
def test_reply_that_nobody_owes_is_a_violation(reply: str):
    with pytest.raises(ProtocolViolation, match="owed no reply"):
        Pipeline().receive(ord(reply))


@pytest.mark.parametrize("reply", "NSACDTGHI")
def test_what_a_server_may_say_unasked_is_no_violation(reply: str):
    assert Pipeline().receive(ord(reply)) is False


@pytest.mark.parametrize(
    ("sent", "reply"), [("P", "2"), ("B", "1"), ("E", "Z"), ("Q", "1"), ("S", "3"), ("P", "Z")]
)
def test_reply_out_of_turn_is_a_violation(sent: str, reply: str):
    with pytest.raises(ProtocolViolation, match="out of turn"):
        due(sent, "S").receive(ord(reply))


def test_note_comes_back_with_the_end_of_its_message():
    pipeline = due("E", "Q")
    pipeline.receive(ord("D"))
    assert pipeline.ended is None
    pipeline.receive(ord("C"))
    assert pipeline.ended == Note("E")
    pipeline.receive(ord("Z"))
    assert pipeline.ended == Note("Q")


def test_error_returns_what_it_drops_the_failed_first():
    pipeline = due("P", "B")
    pipeline.skip(ord("C"), Note("ours"))
    pipeline.fake(ord("P"), Note("faked"))
    pipeline.expect(ord("S"), Note("S"))
    pipeline.receive(ord("1"))
    assert pipeline.failing_note() == Note("B")
    assert pipeline.fail() == [
        (ord("B"), Note("B")),
        (ord("C") | SKIP, Note("ours")),
        (ord("P") | FAKE, Note("faked")),
    ]
    assert (len(pipeline), pipeline.fakes, pipeline.ignoring) == (1, 0, False)


def test_failed_message_is_the_first_that_the_server_has_seen():
    pipeline = Pipeline()
    pipeline.fake(ord("P"), Note("faked"))
    pipeline.expect(ord("B"), Note("B"))
    assert pipeline.failing_note() == Note("B")
    assert due("S").failing_note() is None


def test_error_without_a_sync_ignores_until_one_is_sent():
    pipeline = due("P", "B")
    pipeline.fail()
    assert pipeline.ignoring
    for kind in "PBEDCQFc":
        pipeline.expect(ord(kind))
    pipeline.fake(ord("P"))
    pipeline.skip(ord("P"))
    assert pipeline.empty()
    pipeline.expect(ord("S"))
    assert (len(pipeline), pipeline.ignoring) == (1, False)


def test_sync_of_ours_ends_the_ignoring_too():
    pipeline = due("P")
    pipeline.fail()
    pipeline.skip(ord("S"))
    assert pipeline.receive(ord("Z")) is True
    assert pipeline.empty()


def test_reply_to_ours_is_skipped_until_it_ends():
    pipeline = Pipeline()
    pipeline.skip(ord("Q"))
    pipeline.expect(ord("Q"))
    assert [pipeline.receive(ord(kind)) for kind in "TNSCZ"] == [True] * 5
    assert [pipeline.receive(ord(kind)) for kind in "NTCZ"] == [False] * 4


def test_oldest_reply_may_be_skipped_after_all():
    pipeline = due("S")
    pipeline.skip_oldest()
    assert pipeline.receive(ord("Z")) is True


def test_notes_of_messages_that_are_due():
    pipeline = due("P", "B")
    pipeline.skip(ord("P"), Note("ours"))
    pipeline.expect(ord("P"))
    assert pipeline.notes_of(ord("P")) == [Note("P"), Note("ours")]
    pipeline.receive(ord("1"))
    assert pipeline.notes_of(ord("P")) == [Note("ours")]


@pytest.mark.parametrize(("sent", "ends"), [("", False), ("PBE", False), ("PBES", True), ("Q", True), ("QP", False),
                                            ("F", True), ("Qc", True), ("Ec", False)])  # fmt: skip
def test_whether_the_client_must_send_more(sent: str, ends: bool):
    assert due(*sent).will_end() is ends


def test_server_that_reads_copy_data_waits_for_the_client():
    pipeline = due("Q")
    pipeline.copy_in()
    assert not pipeline.will_end()
    pipeline.expect(ord("c"))
    assert pipeline.will_end()


def test_sync_behind_a_copy_that_its_server_has_broken_off_owes_nothing():
    pipeline = Pipeline()
    pipeline.expect(ord("Q"))
    pipeline.copy_in()
    pipeline.receive(ord("Z"))
    pipeline.expect(ord("S"))
    assert pipeline.empty()
    with pytest.raises(ProtocolViolation):
        pipeline.receive(ord("Z"))


def test_memory_does_not_grow_with_what_has_been_answered():
    pipeline = due("Q", "Q")
    for _ in range(10_000):
        pipeline.expect(ord("Q"))
        pipeline.receive(ord("Z"))
    assert len(pipeline) == 2
    assert len(pipeline.due) < 600


# --- two that are one to the client -------------------------------------------------------------------------


def shown(pipeline: Pipeline, replies: str) -> str:
    """Those of these replies that are not skipped."""
    return "".join(reply for reply in replies if not pipeline.receive(ord(reply)))


@pytest.mark.parametrize("kind", "QS")
def test_of_two_halves_the_client_sees_the_first_answer_and_the_second_end(kind: str):
    pipeline = Pipeline()
    pipeline.expect_halves(ord(kind), Note("note"))
    pipeline.expect(ord("Q"))
    assert pipeline.halves == 2
    assert shown(pipeline, "CZ") == "C"
    assert pipeline.peek() & TAIL
    assert shown(pipeline, "CZ") == "Z"
    assert (pipeline.halves, pipeline.ended, len(pipeline)) == (0, Note("note"), 1)
    assert shown(pipeline, "CZ") == "CZ"


def test_failed_first_half_does_not_end_the_second():
    pipeline = Pipeline()
    pipeline.expect_halves(ord("Q"), None)
    assert pipeline.fail() == []
    assert shown(pipeline, "Z") == ""
    assert pipeline.peek() == ord("Q") | SKIP | TAIL


def test_halves_are_the_clients():
    pipeline = Pipeline()
    pipeline.expect_halves(ord("Q"), None)
    assert not pipeline.only_ours()
    assert pipeline.peek() == ord("Q") | HALF
    shown(pipeline, "Z")
    assert not pipeline.only_ours()


def test_second_half_of_a_sync_in_copy_data_is_ours_alone():
    """The server does not answer the Sync, and ours once the data have ended."""
    pipeline = Pipeline()
    pipeline.expect(ord("E"))
    pipeline.copy_in()
    pipeline.expect_halves(ord("S"), None)
    assert pipeline.halves == 0
    assert pipeline.due[-1] == ord("Q") | SKIP


def test_only_ours_are_whole_queries_of_our_own():
    pipeline = Pipeline()
    assert pipeline.only_ours()
    pipeline.skip(ord("Q"))
    pipeline.skip(ord("Q"))
    assert pipeline.only_ours()
    pipeline.skip(ord("S"))
    assert not pipeline.only_ours()  # inside a client's request


def test_oldest_note_is_that_of_the_next_reply():
    pipeline = Pipeline()
    assert pipeline.oldest_note() is None
    pipeline.skip(ord("Q"), Note("one"))
    pipeline.expect(ord("Q"), Note("two"))
    assert pipeline.oldest_note() == Note("one")
    pipeline.receive(ord("Z"))
    assert pipeline.oldest_note() == Note("two")
