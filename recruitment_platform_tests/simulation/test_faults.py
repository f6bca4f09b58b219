"""Every fault on its own: it shows, its truth is what the pipeline finds, and the door refuses what it must."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from recruitment_platform.model.door import DoorRules, through
from recruitment_platform.simulation.events import CONFLICT, DUPLICATE, FIRST, blocks
from recruitment_platform.simulation.faults import MALFORMED, arrivals_of, payload_hash, payload_hashes
from recruitment_platform.simulation.market import make_market
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation
from recruitment_platform.simulation.score import score
from recruitment_platform.simulation.simulate import planned
from recruitment_platform.simulation.traffic import intents, raw_rows
from recruitment_platform.simulation.truth import day_counts, rejected_by_receive_day, truth_for
from recruitment_platform_tests.simulation.homes import OPENING, Home, make_home


def assert_pipeline_finds_the_truth(home: Home) -> None:
    """Every row and column of every day, and what arrived of each day."""
    days, facts = home.facts()
    truth = truth_for(home.truth, days)
    assert truth.num_rows > 0
    for scored in score(facts, truth, days):
        assert scored.matched, scored
    found = {
        day: (snapshot.accepted, snapshot.distinct, snapshot.duplicates, snapshot.conflicts)
        for day, snapshot in home.snapshots().items()
    }
    assert found == {day: tuple(vars(counts).values()) for day, counts in day_counts(home.truth).items()}
    assert home.lake.rejected_by_ingest_day() == rejected_by_receive_day(home.truth)
    assert min(days) == OPENING


@pytest.mark.parametrize("fault", [None, *sorted(ALL_FAULTS)])
def test_the_pipeline_finds_the_truth_of_each_fault(fault: str | None, tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate(*([fault] if fault else []))
    assert_pipeline_finds_the_truth(home)


@pytest.mark.parametrize(
    ("time_zone", "opening"),
    [
        ("America/New_York", date(2024, 11, 2)),  # the next day has 25 hours
        ("America/New_York", date(2024, 3, 9)),  # 23 hours
        ("Africa/Cairo", date(2024, 4, 25)),  # the next day has no midnight
        ("America/Havana", date(2024, 11, 2)),  # midnight comes twice
        ("Australia/Lord_Howe", date(2024, 4, 6)),  # half an hour more
        ("Asia/Kathmandu", date(2024, 3, 4)),  # 5:45 ahead
    ],
)
def test_the_pipeline_finds_the_truth_of_all_faults_in_every_time_zone(
    time_zone: str, opening: date, tmp_path: Path
) -> None:
    home = make_home(tmp_path, time_zone=time_zone, max_event_age=timedelta(days=3))
    home.simulate(*ALL_FAULTS, first=opening, events_per_day=1_500)
    days, facts = home.facts()
    assert [scored for scored in score(facts, truth_for(home.truth, days), days) if not scored.matched] == []
    assert days[0] == opening


def arrivals(home: Home) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in day_counts(home.truth).values():
        total += Counter(vars(counts))
    return total


def test_without_faults_nothing_arrives_twice_or_is_refused(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate(days=3)
    total = arrivals(home)
    assert total["accepted"] == total["distinct"] == sum(day.received for day in home.reported)
    assert rejected_by_receive_day(home.truth) == {}
    assert home.relational.dim_jobs()[1].num_rows == 1_868


def test_duplicates_come_on_the_same_and_on_the_next_day_also_spelled_otherwise(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate("duplicates", days=3)
    market = make_market(simulation.seed, simulation.opening, ("USD", "$"))
    today, next_day = (blocks(simulation, market, OPENING + timedelta(days=number))[0] for number in (0, 1))
    sent = [(intents(block), raw_rows(block, intents(block))) for block in (today, next_day)]
    first = set(sent[0][0]["create_time"].to_pylist())
    again = {
        day: [row["create_time"] for row in rows.to_pylist() if row["arrival"] == DUPLICATE]
        for day, (rows, _) in enumerate(sent)
    }
    assert len(again[0]) >= 15
    assert set(again[0]) <= first
    assert len(first & set(again[1])) >= 15
    texts: dict[str, set[tuple[str | None, ...]]] = {}
    for row in sent[0][1].to_pylist():
        texts.setdefault(row["create_time"].lower(), set()).add((row["job_id"], row["bid"], row["ts"], row["v"]))
    assert sum(len(forms) > 1 for forms in texts.values()) > 5
    assert arrivals(home)["conflicts"] == 0


def test_conflicts_are_won_by_the_first_and_by_the_later_content_alike(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate("conflicts", events_per_day=20_000)
    market = make_market(simulation.seed, simulation.opening, ("USD", "$"))
    rows = intents(blocks(simulation, market, OPENING + timedelta(days=1))[0]).to_pylist()
    by_id: dict[str, list[int]] = {}
    for row in rows:
        by_id.setdefault(row["create_time"], []).append(row["arrival"])
    verdicts = Counter(tuple(arrivals) for arrivals in by_id.values())
    for expected in ((FIRST, CONFLICT), (CONFLICT, FIRST), (FIRST, CONFLICT, CONFLICT), (FIRST, FIRST)):
        assert verdicts[expected] > 5, (expected, verdicts)
    assert home.lake.ids_on_two_days(OPENING, OPENING + timedelta(days=2)).num_rows > 10
    later = [row["spend"] for row in rows if row["arrival"] == CONFLICT and row["received"] < row["arrived"] - 1]
    assert {spend > 0 for spend in later} == {True, False}


def test_hashes_of_rows_are_those_of_each() -> None:
    simulation = Simulation(11, OPENING, 2_000, ALL_FAULTS)
    market = make_market(simulation.seed, OPENING, ("USD", "$"))
    (block,) = blocks(simulation, market, OPENING + timedelta(days=1))
    for rows in (intents(block), intents(block).slice(7, 500), intents(block).slice(0, 0)):
        assert payload_hashes(rows).tolist() == [payload_hash(row) for row in rows.to_pylist()]


def test_the_smallest_hash_of_an_id_and_day_counts_and_the_same_again_is_a_duplicate() -> None:
    rng = np.random.default_rng(5)
    for count in (0, 1, 1_000):
        numbers, days = np.sort(rng.integers(0, 300, count)), rng.integers(19_000, 19_002, count)
        # The same content is of the same day.
        hashes = rng.choice([-(2**63), -1, 0, 2**63 - 2], count) + days % 2
        contents = list(zip(numbers.tolist(), days.tolist(), hashes.tolist(), strict=True))
        expected = []
        for place, (number, day, own) in enumerate(contents):
            smallest = min(other for *event, other in contents if event == [number, day])
            again = (number, day, own) in contents[:place]
            expected.append(DUPLICATE if again else FIRST if own == smallest else CONFLICT)
        assert arrivals_of(numbers, days, hashes).tolist() == expected


def test_a_conflict_that_arrives_on_the_next_day_changes_the_facts_of_a_day_that_is_past(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("conflicts", days=1)
    before = truth_for(home.truth, [OPENING])
    assert score(home.facts()[1], before, [OPENING])[0].matched
    home.simulate("conflicts", first=OPENING + timedelta(days=1), days=1)
    after = truth_for(home.truth, [OPENING])
    assert pc.sum(after["spend_hour"]).as_py() > pc.sum(before["spend_hour"]).as_py()
    assert_pipeline_finds_the_truth(home)


def test_malformed_rows_are_refused_for_their_reasons_and_unreadable_fields_are_not() -> None:
    simulation = Simulation(11, OPENING, 8_000, frozenset({"malformed"}))
    market = make_market(simulation.seed, OPENING, ("USD", "$"))
    (block,) = blocks(simulation, market, OPENING)
    rows = intents(block)
    now = datetime(2024, 3, 5, tzinfo=UTC)
    judged = through(raw_rows(block, rows), DoorRules("UTC", date(2020, 1, 1)), "simulator", 1, now)
    expected = {position: row["reason"] for position, row in enumerate(rows.to_pylist(), 1) if row["reason"]}
    found = dict(zip(judged.rejected["position"].to_pylist(), judged.rejected["reason"].to_pylist(), strict=True))
    found = {position: reason.removesuffix(" 2020-01-01") for position, reason in found.items()}
    assert found == expected
    assert set(expected.values()) == {malady.reason for malady in MALFORMED if malady.reason}
    flagged = {flag for flags in judged.accepted["flags"].to_pylist() if flags for flag in flags.split("; ")}
    unreadable = {"tz unreadable", "v unreadable", "cd unreadable", "ev unreadable", "ts unreadable", "ed unreadable"}
    assert flagged == unreadable | {"ua cut"}


def test_jobs_change_within_a_day_and_facts_of_one_hour_lie_on_both_sides(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate("job_changes", days=3, events_per_day=20_000)
    changed_at = simulation.changed_at
    assert changed_at is not None
    assert changed_at.date() == OPENING + timedelta(days=1)
    assert (changed_at.minute, changed_at.second, changed_at.microsecond) != (0, 0, 0)
    _, dim_jobs = home.relational.dim_jobs()
    assert {row["valid_from"] for row in dim_jobs.to_pylist() if row["valid_to"] is None} >= {changed_at}
    truth = truth_for(home.truth, [changed_at.date()]).to_pylist()
    market = make_market(simulation.seed, simulation.opening, ("USD", "$"))
    busiest = int(market.job_ids[market.busy[0]])
    campaigns = {
        hour: {row["campaign_id"] for row in truth if row["hours"] == hour and row["job_id"] == busiest}
        for hour in (changed_at.hour - 2, changed_at.hour, changed_at.hour + 2)
    }
    before, after = (int(terms.campaign_id[market.busy[0]]) for terms in (market.terms, market.changed_terms))
    assert before in campaigns[changed_at.hour - 2]
    assert after not in campaigns[changed_at.hour - 2]
    assert {before, after} <= campaigns[changed_at.hour]
    assert after in campaigns[changed_at.hour + 2]


def test_clock_skew_sends_events_to_their_receive_time(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("clock_skew")
    snapshots = home.snapshots().values()
    fallback, accepted = (sum(getattr(one, name) for one in snapshots) for name in ("fallback_times", "accepted"))
    assert 0.02 < fallback / accepted < 0.05


def test_unknown_jobs_keep_their_id_and_have_no_company(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate("unknown_jobs", events_per_day=40_000)
    known = set(make_market(simulation.seed, simulation.opening, ("USD", "$")).job_ids.tolist())
    rows = truth_for(home.truth, [OPENING]).to_pylist()
    strangers = [row for row in rows if row["job_id"] not in known | {0}]
    assert len({row["job_id"] for row in strangers}) > 20
    assert {row["company_id"] for row in strangers} == {0}
    assert {-1, 2**31 - 1} <= {row["job_id"] for row in strangers}


def test_simulations_are_planned_with_their_change_in_mid_range(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    for days, change_after in ((1, 0), (2, 0), (7, 3)):
        last = OPENING + timedelta(days=days - 1)
        plan = planned(home.settings, OPENING, last, seed=1, events_per_day=10, faults=frozenset({"job_changes"}))
        assert plan.change_after == change_after
