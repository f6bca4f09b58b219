"""Grafana's dashboards as they are provisioned, and their queries as Grafana renders them.

What belongs here: reading the files, and the few of Grafana's macros and variables that they use. What does not: what
the queries must answer (the tests).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DOCKER = Path(__file__).parent.parent.parent / "docker"
PROVISIONING = DOCKER / "grafana" / "provisioning"
DASHBOARDS: Mapping[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((PROVISIONING / "dashboards").glob("*.json"))
}

Time = Callable[[datetime], str]
"""How a datasource's `$__timeFrom()` writes an instant."""


def postgres_time(at: datetime) -> str:
    """As Grafana's PostgreSQL datasource does."""
    return f"'{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"


def mysql_time(at: datetime) -> str:
    """As Grafana's MySQL datasource does."""
    return f"FROM_UNIXTIME({int(at.timestamp())})"


def panels(dashboard: str) -> dict[str, dict[str, Any]]:
    """The dashboard's panels by title."""
    return {panel["title"]: panel for panel in DASHBOARDS[dashboard]["panels"]}


def variables(dashboard: str) -> dict[str, dict[str, Any]]:
    """The dashboard's variables by name."""
    return {variable["name"]: variable for variable in DASHBOARDS[dashboard]["templating"]["list"]}


def targets(dashboard: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every query of the dashboard, with its panel's title."""
    for title, panel in panels(dashboard).items():
        for target in panel["targets"]:
            yield title, target


def render_sql(
    dashboard: str, sql: str, first: datetime, last: datetime, chosen: Mapping[str, tuple[int, ...]], time: Time
) -> str:
    """The statement for that time range; variables that nothing is chosen for are at `All`."""

    def value(match: re.Match[str]) -> str:
        variable = variables(dashboard)[match[1]]
        ids = chosen.get(match[1])
        return ",".join(map(str, ids)) if ids else str(variable["allValue"])

    rendered = re.sub(r"\$\{(\w+):csv\}", value, sql)
    rendered = rendered.replace("$__timeFrom()", time(first)).replace("$__timeTo()", time(last))
    assert "$" not in rendered, rendered
    return rendered


def render_promql(expression: str, rate_interval: str) -> str:
    """The expression with Grafana's interval in it."""
    rendered = expression.replace("$__rate_interval", rate_interval)
    assert "$" not in rendered, rendered
    return rendered
