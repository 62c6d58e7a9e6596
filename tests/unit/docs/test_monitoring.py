"""The dashboard and the alert rules name figures that exist, and only these."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from outbox.delivery import snapshot
from tests.unit.docs.blocks import ROOT

FOLDER = ROOT / "docs" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yml").read_text())
PAGE = (ROOT / "docs" / "operations.md").read_text()
_NAME = re.compile(r"\boutbox_\w+")


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.fixture
def families(db: None) -> list[Metric]:
    from outbox.web.monitoring.collector import OutboxCollector

    snapshot.refresh("default")
    return list(OutboxCollector().collect())


def names_of(family: Metric) -> str:
    ending = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
    return f"{family.name}{ending}"


def test_every_expression_names_figures_that_exist(families: list[Metric]) -> None:
    known = {names_of(family) for family in families}
    used = {name for expression in expressions() for name in _NAME.findall(expression)}

    assert used - known == set()
    assert known - used == set()  # each figure is on the dashboard or in a rule


def test_the_guide_names_figures_that_exist(families: list[Metric]) -> None:
    known = {name for family in families for name in (family.name, names_of(family))} | {
        "outbox_check_health",
        "outbox_pause",
        "outbox_prune",
        "outbox_erase",
        "outbox_status",
    }

    assert set(re.findall(r"\boutbox_[a-z_]+", PAGE)) - known == set()


def test_panels_do_not_overlap_and_have_titles() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_every_rule_says_what_is_wrong_and_what_to_do() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]


@pytest.mark.parametrize("expression", list(expressions()))
def test_brackets_are_balanced(expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)


def test_the_guide_names_settings_that_exist() -> None:
    from dataclasses import fields

    from outbox.conf import Conf

    settings = {field.name.upper() for field in fields(Conf)}
    named = set(re.findall(r"`((?:ALARM|METRICS)_[A-Z_]+)`", PAGE))

    assert named
    assert named - settings == set()
