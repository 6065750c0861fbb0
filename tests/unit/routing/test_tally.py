"""How often something was decided."""

from dbproxy.routing.tally import Tally


def test_reasons_are_counted_each_by_itself():
    tally = Tally("read")
    for reason in ("read", "hint", "read", "hint", "percent"):
        tally.count(reason)
    assert dict(tally.items()) == {"read": 2, "hint": 2, "percent": 1}


def test_reason_that_there_never_was_is_not_told():
    assert not list(Tally("read").items())


def test_usual_reason_counts_also_where_it_is_another_object_of_the_same_text():
    tally = Tally("read")
    tally.count("".join(["re", "ad"]))
    assert dict(tally.items()) == {"read": 1}
