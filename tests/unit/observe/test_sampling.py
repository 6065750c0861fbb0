"""Which requests become spans."""

import pytest

from dbproxy.observe.record import KEPT, PASSED, SAMPLED, TAGGED
from dbproxy.observe.sampling import NEVER, Sampler
from dbproxy.pool.parameters import Parameters
from dbproxy.wire import build

TRACE, SPAN = "5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2"
YES, NO = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


def sampler(share: float = 0.0, parent: str = "follow", *, failed: bool = True, slow: bool = True) -> Sampler:
    made = Sampler(None)
    made.set(share, parent, failed=failed, slow=slow)
    return made


def choose(
    made: Sampler, text: str = "SELECT 1", slow: bool = False, failed: bool = False, **values: str
) -> int:
    chunk = (
        build.query("SELECT 'ahead'") + build.query(text) + build.query(f"SELECT 2 /*traceparent='{YES}'*/")
    )
    return made.choose(chunk, len(build.query("SELECT 'ahead'")), Parameters(values), slow, failed)


def tagged(parent: str) -> str:
    return f"SELECT 1 /*traceparent='{parent}'*/"


def test_a_tenth_of_roots():
    made = sampler(0.1)
    settings, chunk = Parameters({}), build.query("SELECT 1")
    picked = sum(made.choose(chunk, 0, settings, False, False) == SAMPLED for _ in range(100_000))
    assert 9_500 <= picked <= 10_500


@pytest.mark.parametrize(("share", "found"), [(0.0, PASSED), (1.0, SAMPLED)])
def test_none_and_all(share: float, found: int):
    made = sampler(share)
    assert {choose(made) for _ in range(1000)} == {found}


def test_parents_flag_decides():
    assert choose(sampler(0.0), tagged(YES)) == TAGGED | SAMPLED
    assert choose(sampler(1.0), tagged(NO)) == PASSED


def test_parents_trace_id_decides():
    """Its lower 64 bits are 0xb0d1f8f4bd33716a, 0.69 of all."""
    assert choose(sampler(0.70, "ratio"), tagged(NO)) == TAGGED | SAMPLED
    assert choose(sampler(0.68, "ratio"), tagged(YES)) == PASSED
    assert choose(sampler(0.70, "ratio"), application_name=NO) == SAMPLED
    assert choose(sampler(0.68, "ratio"), application_name=YES) == PASSED


def test_parent_that_is_ignored_decides_nothing():
    assert choose(sampler(1.0, "ignore"), tagged(NO)) == SAMPLED
    made = sampler(0.0, "ignore")
    assert choose(made, tagged(YES), application_name=YES) == PASSED
    assert made.in_comments == made.in_names == 0


def test_slow_and_failed_ones_are_kept():
    assert choose(sampler(), slow=True) == choose(sampler(), failed=True) == KEPT
    assert choose(sampler(), tagged(NO), failed=True) == TAGGED | KEPT
    assert choose(sampler(failed=False), failed=True) == PASSED
    assert choose(sampler(slow=False), slow=True) == PASSED


def test_comment_goes_over_setting_over_application_name():
    values = {"dbproxy.traceparent": NO, "application_name": YES}
    assert choose(sampler(), tagged(YES), **{"dbproxy.traceparent": NO}) == TAGGED | SAMPLED
    assert choose(sampler(), **values) == PASSED
    assert choose(sampler(), application_name=YES) == SAMPLED


def test_settings_remember_what_they_say():
    made, settings = sampler(), Parameters({"application_name": YES})
    for _ in range(2):
        assert made.choose(b"", -1, settings, False, False) == SAMPLED
    assert settings.trace.source == "application_name"
    assert made.in_names == 2


@pytest.mark.parametrize("size", [10, 600, 3000, 100_000])
def test_tags_of_long_texts_are_found_at_both_ends(size: int):
    filler = "x" * size
    assert choose(sampler(), f"/*traceparent='{YES}'*/ SELECT '{filler}'") == TAGGED | SAMPLED
    assert choose(sampler(), f"SELECT '{filler}' /*traceparent='{YES}'*/") == TAGGED | SAMPLED


def test_only_the_ends_of_a_long_text_are_looked_at():
    middle = f"SELECT '{'x' * 1536}' /*traceparent='{YES}'*/, '{'x' * 1536}'"
    assert choose(sampler(), middle) == PASSED


def test_a_prepared_statements_body_is_a_text():
    body = f"SELECT 1 /*traceparent='{YES}'*/\0\0\0".encode()
    assert sampler().choose(body, -1, Parameters({}), False, False) == TAGGED | SAMPLED


def test_what_is_no_context_is_counted_and_decides_nothing():
    made = sampler(1.0)
    assert choose(made, tagged(f"00-{'0' * 32}-{SPAN}-00")) == SAMPLED
    assert choose(made, **{"dbproxy.traceparent": "garbage"}) == SAMPLED
    assert choose(made, tagged(YES)) == TAGGED | SAMPLED
    assert (made.invalid_comments, made.invalid_settings, made.in_comments) == (1, 1, 1)


def test_share_that_is_changed_holds_at_once():
    made = sampler(0.0)
    assert made.skip == NEVER
    made.set(1.0, "follow", failed=True, slow=True)
    assert choose(made) == SAMPLED
