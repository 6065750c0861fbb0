from dbproxy.config.written import Assignment, Written, dotted


def test_a_later_value_replaces_the_earlier_with_all_below_it():
    written = Written({"replicas": [{"url": "a"}]}, {("replicas", 0, "url"): "file:3"})
    written.put(Assignment(("replicas",), "b", "DATABASE_READ_REPLICAS"))
    assert written.values == {"replicas": "b"}
    assert written.origin_of(("replicas", 0, "url")) == "DATABASE_READ_REPLICAS"


def test_a_section_that_is_no_table_is_kept_to_be_reported():
    written = Written({"pool": 5}, {("pool",): "file:1"})
    written.put(Assignment(("pool", "size"), "10", "DBPROXY_POOL__SIZE"))
    assert written.values == {"pool": 5}
    assert written.origin_of(("pool",)) == "file:1"


def test_origin_of_a_table_without_its_own_is_that_of_what_is_in_it():
    written = Written()
    written.put(Assignment(("listen", "host"), "", "DBPROXY_LISTEN__HOST"))
    assert written.origin_of(("listen",)) == "DBPROXY_LISTEN__HOST"


def test_value_is_what_was_written_as_far_as_the_tree_reaches():
    written = Written({"pool": {"size": "5"}, "replicas": "a,b"})
    assert written.value_of(("pool", "size"), otherwise=None) == "5"
    assert written.value_of(("replicas", 0, "url"), otherwise="a") == "a"
    assert written.value_of(("pool", "mode"), otherwise=None) is None


def test_paths_are_shown_as_operators_write_them():
    assert dotted(("pool", "size")) == "pool.size"
    assert dotted(("replicas", 0, "url")) == "replicas[0].url"
