"""The page's lists are what /metrics has; what stands around them stays."""

from dbproxy.observe.document import (
    BEGIN,
    END,
    label_names,
    list_families,
    name_series,
    write_list,
    write_page,
)


def test_only_the_lists_are_written_anew() -> None:
    page = write_page(f"# Title\n{BEGIN}old\n{END}between\n{BEGIN}{END}behind\n")
    first, between, behind = page.split(END)
    assert first == f"# Title\n{BEGIN}\n{write_list('dbproxy_')}\n"
    assert between == f"between\n{BEGIN}\n{write_list('pgbouncer_')}\n"
    assert behind == "behind\n"
    assert write_page(page) == page


def test_metric_is_listed_as_queries_name_it_with_its_labels_and_help() -> None:
    rows = write_list("dbproxy_").splitlines()
    assert (
        "| `dbproxy_errors_total` | counter | `database`, `user` | Errors that servers answered with |"
        in rows
    )


def test_labels_are_known_of_metrics_that_have_no_sample_yet() -> None:
    labels = {name_series(family): label_names(family) for family in list_families()}
    assert labels["dbproxy_host_state"] == ("host", "role", "state")
    assert labels["dbproxy_build_info"] == ("version", "compiled")
    assert labels["dbproxy_uptime_seconds"] == ()
