"""What servers give new sessions: who keeps what, and how a replica is evened out."""

import json

from dbproxy.pool.defaults import Defaults, Snapshot, even_out, find_uneven, kept, read_snapshot

BEFORE = Snapshot(
    {"work_mem": "4096", "timezone": "UTC", "log_statement": "none"}, frozenset({"work_mem", "timezone"})
)


def altered(*names: str, **values: str) -> Snapshot:
    return Snapshot({**BEFORE.values, **values}, BEFORE.settable, frozenset(names))


def test_the_answer_tells_value_permission_and_origin():
    found = {
        "work_mem": ["9216", True, True],
        "log_statement": ["all", False, False],
        "transaction_read_only": ["on", True, False],
    }
    found[""] = ["16384 16390", False, False]
    snapshot = read_snapshot(json.dumps(found).encode().hex())
    assert snapshot == Snapshot(
        {"work_mem": "9216", "log_statement": "all"},
        frozenset({"work_mem"}),
        frozenset({"work_mem"}),
        16384,
        16390,
    )


def test_what_was_altered_in_the_catalog_stays_for_who_was_there():
    assert kept(BEFORE, altered("work_mem", work_mem="9216"), same_server=True) == {"work_mem": "4096"}
    assert kept(altered("work_mem", work_mem="9216"), BEFORE, same_server=True) == {"work_mem": "9216"}


def test_what_the_servers_configuration_says_now_is_everybodys():
    assert kept(BEFORE, altered(work_mem="9216"), same_server=True) == {}


def test_another_servers_configuration_is_not():
    assert kept(BEFORE, altered(work_mem="9216"), same_server=False) == {"work_mem": "4096"}


def test_what_the_user_may_not_set_is_not_kept():
    assert kept(BEFORE, altered("log_statement", log_statement="all"), same_server=True) == {}


def test_a_custom_setting_that_was_not_there_is_empty():
    after = Snapshot({**BEFORE.values, "app.tenant": "one"}, BEFORE.settable, frozenset({"app.tenant"}))
    assert kept(BEFORE, after, same_server=True) == {"app.tenant": ""}
    assert kept(after, BEFORE, same_server=True) == {"app.tenant": "one"}


def test_a_replica_is_opened_again_with_the_primarys_values():
    defaults = Defaults()
    assert even_out(defaults, BEFORE, altered(work_mem="9216")) == {"work_mem"}
    assert defaults.overrides == {"work_mem": "4096"}
    assert even_out(defaults, BEFORE, BEFORE) == set()


def test_what_does_not_help_is_not_tried_twice():
    defaults = Defaults()
    odd = altered(work_mem="9216")
    assert even_out(defaults, BEFORE, odd)
    assert not even_out(defaults, BEFORE, odd)


def test_what_the_user_may_not_set_is_not_tried():
    odd = altered(lc_messages="de_DE")
    assert not even_out(Defaults(), BEFORE, odd)
    assert find_uneven(BEFORE, odd) == {"lc_messages"}


def test_what_a_replica_logs_is_its_own_affair():
    odd = altered(log_statement="all")
    wanted = Snapshot(BEFORE.values, BEFORE.settable | {"log_statement"})
    assert (even_out(Defaults(), wanted, odd), find_uneven(wanted, odd)) == (set(), set())


def test_start_up_parameters_that_were_refused_are_not_tried_again():
    assert not even_out(Defaults(refused=True), BEFORE, altered(work_mem="9216"))


def test_a_primary_that_is_altered_is_followed():
    defaults = Defaults()
    even_out(defaults, BEFORE, altered(work_mem="9216"))
    assert even_out(defaults, altered(work_mem="1024"), BEFORE) == {"work_mem"}
    assert defaults.overrides == {"work_mem": "1024"}
