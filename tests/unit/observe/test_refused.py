"""Who was refused, as the log tells it."""

import json

from dbproxy.observe.refused import Refused


def line(hour: str = "2026-11-29T04", **keys: object) -> str:
    told = {
        "timestamp": f"{hour}:34:24.5Z",
        "event": "request refused",
        "sqlstate": "53400",
        "level": "warning",
    }
    return json.dumps({**told, "rule": "tenant", "key": "acme", "tier": "free", **keys}) + "\n"


def test_refusals_are_counted_by_hour_tier_and_key():
    found = Refused()
    found.add([line(), line(more=19), line(key="globex", tier="pro"), line("2026-11-29T05")])
    assert found.list_rows() == [
        ("2026-11-29 04:00", "free", "tenant", "acme", 20),
        ("2026-11-29 04:00", "pro", "tenant", "globex", 1),
        ("2026-11-29 05:00", "free", "tenant", "acme", 1),
    ]


def test_other_lines_count_for_nothing():
    found = Refused()
    other = [line(sqlstate="53300"), line(event="slow query"), "\n", "Traceback\n", "[]\n", '{"a": 1}\n']
    found.add(other)
    assert (found.list_rows(), found.lines, found.foreign) == ([], 5, 3)


def test_what_is_not_told_apart_is_counted_as_such():
    flood = {"timestamp": "2026-11-29T04:00:00Z", "event": "request refused", "sqlstate": "53400", "more": 7}
    found = Refused()
    found.add([json.dumps(flood)])
    assert found.list_rows() == [("2026-11-29 04:00", "<other>", "<other>", "<other>", 7)]
