"""The README's tables, made from what they describe; `python -m recruitment_platform_tests.readme` writes them anew.

What belongs here: the contract's tables, the settings, the commands, the exit codes, the metrics as Markdown. What does
not: the README's own words.
"""

import re
from datetime import timedelta
from pathlib import Path

from pydantic.fields import FieldInfo

from recruitment_platform.automation.exporter import METRICS
from recruitment_platform.cli import COMMANDS, EXIT_CODES
from recruitment_platform.model.contract import (
    ADJUSTMENT_LEDGER,
    BILLING_CLOSE,
    DERIVED,
    DIM_JOBS,
    DIM_PUBLISHERS,
    FACT_ADJUSTMENTS,
    HOURLY_FACTS,
    JOB_ADJUSTMENTS,
    JOB_PERFORMANCE,
    LOAD_LEDGER,
    TRACKING,
    Column,
)
from recruitment_platform.pipeline.status import STATES
from recruitment_platform.settings import GROUPS, PREFIX, Settings, group_names

README = Path(__file__).parent.parent / "README.md"

_PART = re.compile(r"(<!-- table: (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """The README with each of its tables as it must be; KeyError where it has one that is not known."""
    made = tables()
    return _PART.sub(lambda part: f"{part[1]}\n{made[part['name']]}\n\n{part[3]}", text)


def named(text: str) -> set[str]:
    """The tables that the README has."""
    return {part["name"] for part in _PART.finditer(text)}


def tables() -> dict[str, str]:
    """Every table by its name."""
    contracts = {
        "tracking": TRACKING.columns,
        "derived": DERIVED,
        "facts": HOURLY_FACTS.columns,
        "job_performance": JOB_PERFORMANCE.columns,
        "dim_jobs": DIM_JOBS.columns,
        "dim_publishers": DIM_PUBLISHERS.columns,
        "load_ledger": LOAD_LEDGER.columns,
        "billing_close": BILLING_CLOSE.columns,
        "fact_adjustments": FACT_ADJUSTMENTS.columns,
        "job_adjustments": JOB_ADJUSTMENTS.columns,
        "adjustment_ledger": ADJUSTMENT_LEDGER.columns,
    }
    columns = {name: _columns(found) for name, found in contracts.items()}
    return columns | {
        "settings": _settings(),
        "server_settings": _server_settings(),
        "commands": _table(("command", "does"), [(f"`{name}`", does) for name, does in COMMANDS.items()]),
        "exit_codes": _table(("code", "meaning"), [(str(code), means) for code, means in EXIT_CODES.items()]),
        "states": _table(("state", "meaning"), list(STATES.items())),
        "metrics": _table(
            ("metric", "type", "labels", "what it tells"),
            [(f"`{metric.name}`", metric.type, ", ".join(metric.labels), metric.help) for metric in METRICS],
        ),
    }


def _columns(columns: tuple[Column, ...]) -> str:
    rows = [(f"`{column.name}`", f"{column.type}{', null' * column.nullable}", column.doc) for column in columns]
    return _table(("column", "type", "what it is"), rows)


def _settings() -> str:
    own = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items() if name not in GROUPS}
    return _table(("variable", "default", "what it decides"), [_setting(*setting) for setting in own.items()])


def _server_settings() -> str:
    rows = [
        _setting(name, field)
        for attribute, group in GROUPS.items()
        for name, field in zip(group_names(attribute), group.model_fields.values(), strict=True)
    ]
    return _table(("variable", "default", "what it decides"), rows)


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str]:
    default = field.default
    shown = f"{default.total_seconds():.0f}" if isinstance(default, timedelta) else default
    if isinstance(default, dict):
        shown = ",".join(f"{alias}={currency}" for alias, currency in default.items())
    if isinstance(default, tuple):
        shown = ",".join(default)
    unit = " In seconds, or as ISO 8601." if isinstance(default, timedelta) else ""
    return (f"`{name}`", f"`{shown}`" if shown not in (None, "") else "", f"{field.description}{unit}")


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
