"""What a family says of figures."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from dbproxy.observe.exemplars import Exemplar
from dbproxy.observe.families import by_key, cumulate, read_all, spell_bounds

TRACE = "5bd66ef5095369c7b0d1f8f4bd33716a"


def test_each_reading_is_a_family_with_a_sample_for_each_item() -> None:
    readings = {"dbproxy_long": ("How long", len), "dbproxy_empty": ("Nothing", lambda _: 0.0)}
    families = list(read_all(GaugeMetricFamily, readings, ["a", "bcd"], ["name"], lambda item: (item,)))
    assert [(family.name, family.documentation) for family in families] == [
        ("dbproxy_long", "How long"),
        ("dbproxy_empty", "Nothing"),
    ]
    assert [(sample.labels, sample.value) for sample in families[0].samples] == [
        ({"name": "a"}, 1),
        ({"name": "bcd"}, 3),
    ]


def test_key_is_the_last_label_and_valid_utf_8() -> None:
    family = CounterMetricFamily("dbproxy_lost", "", labels=["side", "reason"])
    (sample,) = by_key(family, {"b\udcff": 2}, ("client",)).samples
    assert (sample.labels, sample.value) == ({"side": "client", "reason": "b?"}, 2)


def test_buckets_count_those_below_them_and_keep_their_examples() -> None:
    found = cumulate(spell_bounds([0.5, 1.0]), [1, 2, 4], {1: Exemplar(TRACE, 0.7, 9.0)})
    assert [bucket[:2] for bucket in found] == [("0.5", 1.0), ("1.0", 3.0), ("+Inf", 7.0)]
    assert [bucket[2:] for bucket in found] == [(), (({"trace_id": TRACE}, 0.7, 9.0),), ()]
