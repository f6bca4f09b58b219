"""What a check says of a range: one result, with the bad days named."""

from datetime import date

import dagster as dg

from recruitment_platform.checks.published import check_specs, staging_checks, table_checks
from recruitment_platform.pipeline.publish import STAGING_CHECKS, TABLE_CHECKS

ALL = {spec.key for spec in check_specs()}
MONDAY, TUESDAY = date(2025, 6, 2), date(2025, 6, 3)


def by_name(results: list[dg.AssetCheckResult]) -> dict[str | None, dg.AssetCheckResult]:
    return {result.check_name: result for result in results}


def test_a_check_fails_by_one_bad_day_and_names_it() -> None:
    checked = staging_checks()
    checked.add(MONDAY, {})
    checked.add(TUESDAY, {"unique_keys": "2 rows repeat a key"})
    results = by_name(list(checked.results(ALL)))
    assert set(results) == set(STAGING_CHECKS)
    bad = results["unique_keys"]
    assert not bad.passed
    assert bad.description == "2025-06-03: 2 rows repeat a key"
    assert bad.metadata["bad_days"].value == {"2025-06-03": "2 rows repeat a key"}
    assert bad.metadata["days_checked"].value == 2
    assert all(result.passed for name, result in results.items() if name != "unique_keys")


def test_of_many_bad_days_the_first_are_told_and_all_are_in_the_metadata() -> None:
    checked = staging_checks()
    for number in range(1, 6):
        checked.add(date(2025, 6, number), {"no_nulls": "1 row has a null"})
    bad = by_name(list(checked.results(ALL)))["no_nulls"]
    assert bad.description == (
        "2025-06-01: 1 row has a null; 2025-06-02: 1 row has a null; 2025-06-03: 1 row has a null; "
        "2 more days in bad_days"
    )
    assert len(bad.metadata["bad_days"].value) == 5


def test_only_unknown_jobs_are_a_warning() -> None:
    severities = {result.check_name: result.severity for result in table_checks().results(ALL)}
    assert severities == {
        "table_matches_manifest": dg.AssetCheckSeverity.ERROR,
        "dims_cover_jobs": dg.AssetCheckSeverity.WARN,
    }


def test_where_no_day_could_be_looked_at_nothing_has_passed() -> None:
    results = list(table_checks().results(ALL))
    assert not any(result.passed for result in results)
    assert {result.description for result in results} == {"no day could be checked"}


def test_every_check_has_a_spec_with_what_it_means() -> None:
    assert {spec.name: spec.description for spec in check_specs()} == {**STAGING_CHECKS, **TABLE_CHECKS}
    assert not any(spec.blocking for spec in check_specs())
