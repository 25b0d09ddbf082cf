"""Dashboard, alerts and documents name metrics that exist, in queries that can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml

from gateway.accounts.account import AccountState
from gateway.telemetry.metrics import Family, GatewayMetrics
from sse_fsm import Outcome

ROOT: Final = Path(__file__).parents[2]
DASHBOARD: Final = json.loads((ROOT / "docs/deploy/grafana-dashboard.json").read_text("utf-8"))
ALERTS: Final = yaml.safe_load((ROOT / "docs/deploy/alerts.yaml").read_text("utf-8"))
GUIDE: Final = (ROOT / "docs/observability.md").read_text("utf-8")
FAMILIES: Final = {family.name: family for family in GatewayMetrics().families}
VARIABLES: Final = {"$__rate_interval": "5m", "$instance": ".*"}
OF_PROMETHEUS: Final = {"instance", "job", "le"}
OUTCOMES: Final = {*map(str, Outcome), "refused", "rejected", "failed"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Yield all queries and where they are from."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for line in GUIDE.partition("as PromQL")[2].partition("## Traces")[0].splitlines():
        if (found := re.fullmatch(r"\| (.+) \| `(.+)` \|", line)) is not None:
            yield found[1], found[2].replace("\\|", "|")


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Yield the metrics that a query reads."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "args"):
        part = getattr(expression, name, None)
        for one in part if isinstance(part, list) else [part]:
            if one is not None:
                yield from selectors(one)


def family_of(name: str) -> Family | None:
    """Return the metric that a series belongs to."""
    if name in FAMILIES:
        return FAMILIES[name] if FAMILIES[name].kind != "histogram" else None
    histogram = FAMILIES.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return histogram if histogram is not None and histogram.kind == "histogram" else None


@pytest.mark.parametrize(("where", "query"), list(queries()), ids=lambda text: text[:40])
def test_every_query_can_be_read_and_asks_for_metrics_labels_and_values_that_exist(where: str, query: str) -> None:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    found = list(selectors(promql_parser.parse(query)))
    assert len(found) == len(re.findall(r"\bgateway_\w+|\bup\b", query)), where
    for selector in found:
        if selector.name == "up":
            continue
        family = family_of(selector.name or "")
        assert family is not None, f"{where} asks for {selector.name}"
        for matcher in selector.matchers.matchers:
            assert matcher.name in {*family.labels, *OF_PROMETHEUS}, (
                f"{where}: {selector.name} has no {matcher.name}"
            )
            known = {"outcome": OUTCOMES, "state": {*map(str, AccountState)}}.get(matcher.name)
            assert known is None or set(matcher.value.split("|")) <= known, f"{where}: {matcher.value}"


def test_every_metric_is_on_the_dashboard() -> None:
    names = {
        family.name
        for _, query in ((panel["title"], target["expr"]) for panel in panels() for target in panel["targets"])
        for name in re.findall(r"gateway_\w+", query)
        if (family := family_of(name)) is not None
    }
    assert FAMILIES.keys() - names == set()


def test_panels_have_their_own_place_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith(".")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_alerts_say_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}
        texts = " ".join(rule["annotations"].values())
        assert texts.count("{{") == texts.count("}}")
        known = set(re.findall(r"\w+", rule["expr"])) | {"instance"}
        if " by " not in rule["expr"]:
            known |= {
                label for name in known if (family := family_of(name)) is not None for label in family.labels
            }
        assert set(re.findall(r"\$labels\.(\w+)", texts)) <= known, rule["alert"]
        for page in re.findall(r"docs/[\w.-]+\.md", texts):
            assert (ROOT / page).exists() or page in EXPECTED, page


EXPECTED: Final = {"docs/cost-and-usage.md", "docs/anthropic-rollout.md"}


def test_the_metrics_that_a_guide_names_exist() -> None:
    for name in re.findall(r"\bgateway_[a-z_]+\b", GUIDE):
        assert family_of(name) is not None, name
