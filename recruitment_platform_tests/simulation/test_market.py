"""The market: the sizes of a real site, and operational rows that the platform takes as they are."""

from datetime import date

import numpy as np
import pytest

from recruitment_platform.model.operational import OPERATIONAL_TABLES, parse_row
from recruitment_platform.simulation.market import NONE, Market, make_market, terms_at

OPENING = date(2024, 3, 4)


@pytest.fixture(scope="module")
def market() -> Market:
    return make_market(11, OPENING, ("USD", "$"))


def test_a_seed_always_makes_the_same_market_and_another_seed_another_one(market: Market) -> None:
    again, other = make_market(11, OPENING, ("USD", "$")), make_market(12, OPENING, ("USD", "$"))
    assert again.tables == market.tables
    assert again.changed_jobs == market.changed_jobs
    assert np.array_equal(again.busy, market.busy)
    assert other.tables["job"] != market.tables["job"]
    assert other.tables["company"] != market.tables["company"]


def test_the_market_has_the_sizes_of_a_real_site(market: Market) -> None:
    sizes = {table: len(rows) for table, rows in market.tables.items()}
    assert sizes == {
        "job": 1_868,
        "company": 106,
        "campaign": 193,
        "group": 43,
        "master_publisher": 29,
        "master_city": 63,
        "job_location": 1_868,
        "master_major_category": 10,
        "master_minor_category": 29,
    }
    assert sum(row["group_id"] != "" for row in market.tables["job"]) == 313
    assert len(set(market.busy)) == 118
    assert market.busy_weights[0] == pytest.approx(0.2, abs=1e-9)
    assert market.busy_weights.sum() == pytest.approx(1)


def test_every_operational_table_is_made_and_every_row_is_readable(market: Market) -> None:
    assert set(market.tables) == set(OPERATIONAL_TABLES)
    for table, rows in {**market.tables, "job": [*market.tables["job"], *market.changed_jobs]}.items():
        for row in rows:
            parsed = parse_row(table, row)
            needed = {name: row.get(name, "") for name in OPERATIONAL_TABLES[table].needed}
            assert {name for name, value in needed.items() if value} == {
                name for name in needed if parsed[name] is not None
            }
        assert len({row["id"] for row in market.tables[table]}) == len(market.tables[table])


def test_every_reference_leads_to_a_row(market: Market) -> None:
    ids = {table: {row["id"] for row in rows} for table, rows in market.tables.items()}
    references = {
        ("job", "campaign_id"): "campaign",
        ("job", "company_id"): "company",
        ("job", "group_id"): "group",
        ("job", "minor_id"): "master_minor_category",
        ("campaign", "company_id"): "company",
        ("group", "campaign_id"): "campaign",
        ("group", "company_id"): "company",
        ("job_location", "job_id"): "job",
        ("job_location", "city_id"): "master_city",
        ("master_minor_category", "major_id"): "master_major_category",
    }
    for (table, column), target in references.items():
        for row in [*market.tables[table], *(market.changed_jobs if table == "job" else ())]:
            assert row[column] in ids[target] | {""}, (table, row)


def test_campaigns_are_in_the_platforms_currency_in_all_its_spellings(market: Market) -> None:
    assert {row["unit_budget"] for row in market.tables["campaign"]} == {"USD", "$"}
    euros = make_market(11, OPENING, ("EUR",))
    assert {row["unit_budget"] for row in euros.tables["campaign"]} == {"EUR"}


def test_some_jobs_belong_to_another_company_than_their_campaigns_and_some_to_no_campaign(market: Market) -> None:
    payers = {row["id"]: row["company_id"] for row in market.tables["campaign"]}
    jobs = market.tables["job"]
    assert 20 < sum(row["campaign_id"] == "" for row in jobs) < 80
    assert 50 < sum(payers.get(row["campaign_id"], row["company_id"]) != row["company_id"] for row in jobs) < 160


def test_jobs_that_change_get_another_campaign_and_lose_or_get_groups_and_companies(market: Market) -> None:
    former = {row["id"]: row for row in market.tables["job"]}
    assert str(market.job_ids[market.busy[0]]) in {row["id"] for row in market.changed_jobs}
    assert all(row["campaign_id"] != former[row["id"]]["campaign_id"] for row in market.changed_jobs)
    for column in ("group_id", "company_id"):
        changed = sum(row[column] != former[row["id"]][column] for row in market.changed_jobs)
        assert 10 < changed < len(market.changed_jobs)
    for row in market.changed_jobs:
        same = former[row["id"]].keys() - {"campaign_id", "group_id", "company_id"}
        assert all(row[column] == former[row["id"]][column] for column in same)


def test_terms_are_those_of_the_rows_before_and_after_the_change(market: Market) -> None:
    before = {row["id"]: row for row in market.tables["job"]}
    after = {**before, **{row["id"]: row for row in market.changed_jobs}}
    jobs = np.concatenate([market.job_ids, [-1, 0, 2**31 - 1]])
    for changed, rows in ((False, before), (True, after)):
        terms = terms_at(market, jobs, np.full(len(jobs), changed))
        for column in ("campaign_id", "group_id", "company_id"):
            expected = [rows.get(str(job), {}).get(column, "") for job in jobs]
            assert ["" if value == NONE else str(value) for value in getattr(terms, column)] == expected
