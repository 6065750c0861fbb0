"""The dashboard and the rules ask for metrics that there are, and every alert leads to a page that helps."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from dbproxy.config.settings import Settings
from dbproxy.observe import document
from dbproxy.observe.metrics import expose
from tests.support.prometheus import ALERTS, RULES, TESTS, Rule, hasten, promtool, read_rules
from tests.unit.observe.test_metrics import OPENMETRICS, make_registry

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "dbproxy.json"
OURS = re.compile(r"\b(?:dbproxy[:_]|pgbouncer_|process_|python_)\w[\w:]*")
# What later versions bring; dashboard and rules are ready for it.
LATER = re.compile(r"dbproxy_partition_\w+")
TITLES = ("What it means", "What to look at", "What to do")
THRESHOLDS = {  # warning, critical
    "DbproxyQueryLatency": ("> 0.5", "> 1"),
    "DbproxyReplicaLag": ("> 5", "> 30"),
    "DbproxyPoolUtilisation": ("> 0.8", "> 0.95"),
    "DbproxyErrorRate": ("> 0.005", "> 0.02"),
    "DbproxyCacheHitRate": ("< 0.5", "< 0.3"),
    "DbproxyRateLimitBlocks": ("> 0.1", "> 0.2"),
}

rules, alerts = read_rules(RULES), read_rules(ALERTS)


def exposed() -> set[str]:
    """Every series of /metrics, by name."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    for family in document.list_families():
        name = document.name_series(family)
        names |= (
            {f"{name}_{end}" for end in ("bucket", "count", "sum")} if family.type == "histogram" else {name}
        )
    return names


def asked(expression: str) -> set[str]:
    return set(OURS.findall(re.sub(r'"[^"]*"', "", expression)))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions(panel: dict[str, Any]) -> Iterator[str]:
    return (target["expr"] for target in panel["targets"])


# --- the dashboard ---


def test_dashboard_is_what_its_source_writes() -> None:
    source = runpy.run_path(str(DASHBOARD.with_name("dashboard.py")))
    assert DASHBOARD.read_text() == source["write_dashboard"]()


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_asks_for_metrics_that_there_are_or_says_that_they_come_later(panel: dict[str, Any]) -> None:
    names = {name for expression in expressions(panel) for name in asked(expression)}
    later = {name for name in names if LATER.fullmatch(name)}
    assert names
    assert names - later <= exposed()
    assert bool(later) == ("no data" in panel["description"])
    assert not later & exposed(), "it is there now: the row is not `later` any more"


def test_panels_have_numbers_of_their_own_and_do_not_lie_upon_each_other() -> None:
    everything = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in everything)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


# --- the rules ---


@pytest.mark.parametrize("rule", [*rules, *alerts], ids=lambda rule: f"{rule.name} {rule.read('severity')}")
def test_rule_asks_for_metrics_that_there_are_or_will_be(rule: Rule) -> None:
    names = {name for name in asked(rule.expression) if not LATER.fullmatch(name)}
    assert names <= exposed() | {rule.name for rule in rules}


def test_every_rule_is_read() -> None:
    for path, found in ((RULES, rules), (ALERTS, alerts)):
        text = path.read_text()
        assert len(found) == len(re.findall(r"^ +expr:", text, re.MULTILINE)) > 0


def test_alerts_have_the_thresholds_that_were_agreed_upon() -> None:
    by_name: dict[str, dict[str, str]] = {}
    for alert in alerts:
        by_name.setdefault(alert.name, {})[alert.read("severity")] = alert.expression
    for name, (warning, critical) in THRESHOLDS.items():
        assert by_name[name]["warning"].endswith(warning)
        assert by_name[name]["critical"].endswith(critical)


def test_lag_is_judged_as_the_proxy_judges_it() -> None:
    health = Settings().health
    assert THRESHOLDS["DbproxyReplicaLag"] == (f"> {health.lag_warn:g}", f"> {health.lag_limit:g}")


@pytest.mark.parametrize("alert", alerts, ids=lambda alert: f"{alert.name} {alert.read('severity')}")
def test_alert_leads_to_a_page_that_says_what_it_means_and_what_to_do(alert: Rule) -> None:
    assert alert.read("severity") in ("warning", "critical")
    assert alert.read("summary")
    assert alert.read("description")
    text = (ROOT / alert.read("runbook_url")).read_text()
    assert f"`{alert.name}`" in text
    parts = [text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip() for title in TITLES]
    assert all(len(part) > 80 for part in parts), TITLES


def test_every_runbook_is_an_alerts_and_in_the_list() -> None:
    pages = {f"docs/runbooks/{page.name}" for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {alert.read("runbook_url") for alert in alerts}
    listed = document.PAGE.read_text()
    for alert in alerts:
        page = alert.read("runbook_url").removeprefix("docs/")
        assert f"[`{alert.name}`]({page})" in listed


# --- by Prometheus' own tool ---


def test_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES.name, ALERTS.name)


def test_alerts_fire_just_over_their_thresholds_and_not_under() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS.name)
    tested = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))
    assert tested == {alert.name for alert in alerts}


def test_panels_are_valid(tmp_path: Path) -> None:
    asked = [expression for panel in panels() for expression in expressions(panel)]
    written = [
        f"      - record: panel:{number}\n        expr: {expression.replace('$__rate_interval', '5m')}\n"
        for number, expression in enumerate(asked)
    ]
    (tmp_path / "panels.yml").write_text("groups:\n  - name: panels\n    rules:\n" + "".join(written))
    assert f"{len(asked)} rules found" in promtool("check", "rules", "panels.yml", folder=tmp_path)


def test_metrics_are_named_and_described_as_prometheus_wants() -> None:
    """But those that an exporter counts in microseconds."""
    lines = expose(make_registry())[0].decode().splitlines(keepends=True)
    promtool("check", "metrics", given="".join(line for line in lines if "_microseconds" not in line))


def test_hastened_rules_are_valid(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(
        hasten(RULES.read_text() + ALERTS.read_text().replace("groups:\n", "", 1))
    )
    assert "SUCCESS" in promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_example_of_a_configuration_is_valid(tmp_path: Path) -> None:
    for path in (RULES, ALERTS):
        (tmp_path / path.name).write_text(path.read_text())
    _, _, example = document.PAGE.read_text().partition("# prometheus.yml\n")
    (tmp_path / "prometheus.yml").write_text(example.partition("```")[0])
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", "prometheus.yml", folder=tmp_path)


# --- the page ---


def test_page_lists_every_metric_as_it_is_exposed() -> None:
    text = document.PAGE.read_text()
    assert document.write_page(text) == text, "python -m dbproxy.observe.document"


def test_page_names_no_metric_that_there_is_not() -> None:
    named = set(re.findall(r"`((?:dbproxy|pgbouncer)_[a-z]\w*[a-z])`", document.PAGE.read_text()))
    families = {document.name_series(family) for family in document.list_families()}
    assert named <= families


def test_openmetrics_know_the_same_series() -> None:
    registry = make_registry()
    lines = [expose(registry, accept)[0].decode().splitlines() for accept in ("", OPENMETRICS)]
    plain, open_metrics = ({line.partition(" ")[0] for line in found if line[0] != "#"} for found in lines)
    created = {series for series in open_metrics if "_created" in series}
    assert plain == open_metrics - created
