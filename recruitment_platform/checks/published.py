"""The checks of what is published: their specs, and their results over the days of a run.

They are evaluated by the publishing step itself (`assets.published`), which verifies each day before its manifest is in
force; a check of its own step would never run once that step has failed. On a range a result counts for all its days,
so the bad ones are named in its metadata. What does not belong here: what is checked (`pipeline.publish`).
https://docs.dagster.io/guides/test/asset-checks
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import dagster as dg

from recruitment_platform.assets.catalog import FACTS, STAGED
from recruitment_platform.assets.metadata import bad_days
from recruitment_platform.pipeline.publish import STAGING_CHECKS, TABLE_CHECKS

WARNINGS = frozenset({"dims_cover_jobs"})
"""Checks whose failure is told, and stops nothing."""

TOLD_AT_MOST = 3
"""Bad days in a result's description: of a year it would be a page. All of them are in its metadata."""


@dataclass
class CheckedDays:
    """What the checks of one asset found: how many days were looked at, and by check the days that failed it."""

    asset: dg.AssetKey
    checks: Mapping[str, str]
    days: int = 0
    problems: dict[str, dict[date, str]] = field(default_factory=dict)

    def add(self, day: date, failed: Mapping[str, str]) -> None:
        """Counts a day and what failed of it, by check."""
        self.days += 1
        for check, problem in failed.items():
            self.problems.setdefault(check, {})[day] = problem

    def results(self, wanted: Collection[dg.AssetCheckKey]) -> Iterator[dg.AssetCheckResult]:
        """One result for each check that is wanted; where no day could be looked at, none has passed."""
        for check in self.checks:
            if dg.AssetCheckKey(self.asset, check) not in wanted:
                continue
            found = self.problems.get(check, {})
            yield dg.AssetCheckResult(
                check_name=check,
                asset_key=self.asset,
                passed=bool(self.days) and not found,
                severity=dg.AssetCheckSeverity.WARN if check in WARNINGS else dg.AssetCheckSeverity.ERROR,
                description=_told(found, self.days),
                metadata={"days_checked": self.days, "bad_days": bad_days(found)},
            )


def staging_checks() -> CheckedDays:
    """Of `s3_staged_events`."""
    return CheckedDays(STAGED, STAGING_CHECKS)


def table_checks() -> CheckedDays:
    """Of `redshift_fact_events`."""
    return CheckedDays(FACTS, TABLE_CHECKS)


def check_specs() -> list[dg.AssetCheckSpec]:
    """The specs of all of them."""
    return [
        dg.AssetCheckSpec(name, asset=checked.asset, description=description)
        for checked in (staging_checks(), table_checks())
        for name, description in checked.checks.items()
    ]


def _told(found: Mapping[date, str], days: int) -> str:
    if not days:
        return "no day could be checked"
    told = [f"{day}: {problem}" for day, problem in sorted(found.items())]
    more = len(told) - TOLD_AT_MOST
    return "; ".join(told[:TOLD_AT_MOST]) + (f"; {more:,} more days in bad_days" if more > 0 else "")
