"""Rules 3 to 5 in SQL: against a reference that knows nothing of it, and case by case on both engines."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.pipeline.digest import FACTS_LEFT_OUT, digest
from recruitment_platform.transforms.engines import DuckDBEngine, Engine, SparkEngine
from recruitment_platform_tests.transforms.reference import hourly_facts
from recruitment_platform_tests.transforms.running import BEGINNING, CONTRACT_TYPES, SOURCES, event, job, run

NOON = datetime(2024, 2, 28, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
# Few instants, so that events often fall on a version's first or last one; the last but two are of other days.
INSTANTS = tuple(
    NOON + step
    for step in (
        -TICK,
        timedelta(0),
        TICK,
        timedelta(hours=1),
        timedelta(hours=5) - TICK,
        timedelta(hours=5),
        timedelta(days=2),
    )
)
KINDS = ("click", "conversion", "qualified", "unqualified", "not_countable")
IDS = (None, 0, 1, 2, 3, 2**31 - 1)
# Nothing, less than a cent can show, half cents and their neighbours, thirds, and what still leaves room for a sum.
BIDS = (
    0,
    1,
    4_999,
    5_000,
    5_001,
    15_000,
    333_333,
    666_667,
    1_000_000,
    2_000_000,
    7_000_000,
    10**12 - 1,
    10**15 + 5_000,
)


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "duckdb":
        return DuckDBEngine()
    spark: SparkEngine = request.getfixturevalue("spark_engine")
    return spark


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Events of any kind at the instants, with every sort of id and bid."""
    known = st.sampled_from(IDS)
    return st.builds(
        lambda at, delay, kind, **columns: event(at, kind, received_at=at + delay, **columns),
        at=st.sampled_from(INSTANTS),
        delay=st.timedeltas(timedelta(0), timedelta(days=7)),
        kind=st.sampled_from(KINDS),
        resolved_job_id=known,
        resolved_publisher_id=known,
        campaign_id=known,
        group_id=known,
        bid_micros=st.sampled_from(BIDS) | st.integers(0, 10**13),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Versions of some of the jobs, side by side or with gaps, the first not always from the beginning of time."""
    versions = []
    for job_id in draw(st.sets(st.sampled_from([0, 1, 2, 3]))):
        cuts = sorted(draw(st.sets(st.sampled_from(INSTANTS), max_size=4)))
        bounds = [BEGINNING, *cuts, None] if draw(st.booleans()) else [*cuts, None]
        for since, until in pairwise(bounds):
            if draw(st.integers(0, 4)):
                ids = {name: draw(st.sampled_from(IDS)) for name in ("company_id", "campaign_id", "group_id")}
                versions.append(job(job_id, since=since, until=until, **ids))
    return versions


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(events(), max_size=30), max_size=3), histories())
def test_facts_are_those_of_the_reference(files: list[list[dict[str, Any]]], versions: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        outcome = run(DuckDBEngine(), Path(folder), files, versions)
    expected = hourly_facts([row for rows in files for row in rows], versions, SOURCES)
    assert outcome.rows == expected
    assert outcome.types == (CONTRACT_TYPES if expected else [])
    assert {day: len(paths) for day, paths in outcome.files.items()} == {str(row["dates"]): 1 for row in expected}


def _large_batch() -> tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Four days' events, one of them without countable ones, over 60 jobs of which some change and some are unknown."""
    chance = random.Random(20240228)

    def some_id(largest: int, missing: float) -> int | None:
        return None if chance.random() < missing else min(int(chance.paretovariate(0.7)) - 1, largest)

    def of_day(day: int, count: int, kinds: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            at = NOON + timedelta(days=day, microseconds=chance.randrange(86_400_000_000))
            yield event(
                chance.choice((at, at.replace(minute=0, second=0, microsecond=0), *INSTANTS[:3])),
                chance.choice(kinds),
                received_at=at + timedelta(microseconds=chance.randrange(10**9)),
                resolved_job_id=some_id(70, 0.1),
                resolved_publisher_id=some_id(5, 0.2),
                campaign_id=some_id(9, 0.6),
                group_id=some_id(9, 0.8),
                bid_micros=chance.choice((*BIDS, chance.randrange(10**7))),
            )

    files = [list(of_day(day, 5_000, KINDS)) for day in range(3)]
    files.append([event(NOON + timedelta(days=9), "not_countable", resolved_job_id=1)])
    versions = []
    for job_id in range(60):
        hours = sorted(chance.sample(range(100), chance.randrange(4)))
        bounds = [BEGINNING, *(NOON + timedelta(hours=hour) for hour in hours), None]
        for since, until in pairwise(bounds):
            ids = {name: some_id(30, 0.3) for name in ("company_id", "campaign_id", "group_id")}
            versions.append(job(job_id, since=since, until=until, title="Nurse, night shift", **ids))
    return files, versions


def test_both_engines_give_the_reference_s_rows_with_the_same_types_and_digests(
    spark_engine: SparkEngine, tmp_path: Path
) -> None:
    files, versions = _large_batch()
    expected = hourly_facts([row for rows in files for row in rows], versions, SOURCES)
    digests = {}
    for engine in (DuckDBEngine(), spark_engine):
        folder = tmp_path / engine.name
        folder.mkdir()
        outcome = run(engine, folder, files, versions)
        assert outcome.rows == expected, engine.name
        assert outcome.types == CONTRACT_TYPES, engine.name
        assert {day: len(paths) for day, paths in outcome.files.items()} == {str(row["dates"]): 1 for row in expected}
        digests[engine.name] = {
            day: digest(paths, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT) for day, paths in outcome.files.items()
        }
    assert digests["spark"] == digests["duckdb"]
    assert date(2024, 3, 9) not in {row["dates"] for row in expected}


MEANS = (
    ("no click", [], "0.00"),
    ("clicks that cost nothing", [0, 0], "0.00"),
    ("half a cent goes up", [5_000], "0.01"),
    ("less than half a cent goes down", [4_999], "0.00"),
    ("the mean is rounded, not the bids", [5_000, 5_000, 4_999], "0.00"),
    ("a mean of half a cent goes up", [10_000, 0], "0.01"),
    ("an even cent and a half goes up too", [25_000], "0.03"),
    ("thirds", [1_000_000, 0, 0], "0.33"),
    ("two thirds", [1_000_000, 1_000_000, 0], "0.67"),
    ("the largest", [999_999_999_999_994_999], "999999999999.99"),
)


def test_bid_set_is_the_mean_rounded_half_up_and_spend_is_the_exact_sum(engine: Engine, tmp_path: Path) -> None:
    rows = [
        event(NOON, bid_micros=bid, resolved_job_id=number) for number, (_, bids, _) in enumerate(MEANS) for bid in bids
    ]
    # What other events say of bids is no spend.
    rows += [event(NOON, "conversion", bid_micros=9_000_000, resolved_job_id=number) for number in range(len(MEANS))]
    found = {row["job_id"]: row for row in run(engine, tmp_path, [rows], []).rows}
    assert {name: str(found[number]["bid_set"]) for number, (name, _, _) in enumerate(MEANS)} == {
        name: mean for name, _, mean in MEANS
    }
    assert {number: row["spend_hour"] for number, row in found.items()} == {
        number: Decimal(sum(bids)).scaleb(-6) for number, (_, bids, _) in enumerate(MEANS)
    }


CHANGE = NOON + timedelta(minutes=30)
JOBS = (
    job(1, company_id=10, campaign_id=100, group_id=1000, until=CHANGE),
    job(1, company_id=11, campaign_id=101, group_id=1001, since=CHANGE),
    job(2, company_id=20, campaign_id=None, group_id=0),
    job(3, company_id=30, campaign_id=300, since=NOON - TICK, until=NOON),
)
RESOLUTIONS = (
    # What the event says and when, and the facts' (job, publisher, campaign, group, company).
    ("the job's, before it changed", CHANGE - TICK, {"resolved_job_id": 1}, (1, 0, 100, 1000, 10)),
    ("the job's, from the very instant of its change", CHANGE, {"resolved_job_id": 1}, (1, 0, 101, 1001, 11)),
    (
        "the event's, the company still the job's",
        NOON,
        {"resolved_job_id": 1, "campaign_id": 7, "group_id": 8, "resolved_publisher_id": 9},
        (1, 9, 7, 8, 10),
    ),
    ("an explicit 0 is said", NOON, {"resolved_job_id": 1, "campaign_id": 0, "group_id": 0}, (1, 0, 0, 0, 10)),
    ("0 where nobody says", NOON, {"resolved_job_id": 2}, (2, 0, 0, 0, 20)),
    ("a version's last instant has passed", NOON, {"resolved_job_id": 3}, (3, 0, 0, 0, 0)),
    ("a version's only instant", NOON - TICK, {"resolved_job_id": 3}, (3, 0, 300, 0, 30)),
    ("before a job's first version", NOON - 2 * TICK, {"resolved_job_id": 3}, (3, 0, 0, 0, 0)),
    ("an unknown job", NOON, {"resolved_job_id": 4, "campaign_id": 5}, (4, 0, 5, 0, 0)),
    ("no job", NOON, {}, (0, 0, 0, 0, 0)),
)


def test_ids_are_the_event_s_then_the_job_s_at_that_time_then_0(engine: Engine, tmp_path: Path) -> None:
    names = ("job_id", "publisher_id", "campaign_id", "group_id", "company_id")
    # One day a case, so that each has rows of its own.
    rows = [
        event(at, event_date=date(2024, 1, 1) + timedelta(days=number), **columns)
        for number, (_, at, columns, _) in enumerate(RESOLUTIONS)
    ]
    found = run(engine, tmp_path, [rows], JOBS).rows
    assert {name: tuple(row[key] for key in names) for (name, *_), row in zip(RESOLUTIONS, found, strict=True)} == {
        name: ids for name, _, _, ids in RESOLUTIONS
    }


def test_only_countable_events_count_and_make_a_row_new(engine: Engine, tmp_path: Path) -> None:
    later = NOON + timedelta(minutes=5)
    rows = [event(NOON, kind, received_at=NOON) for kind in KINDS for _ in range(1 + KINDS.index(kind))]
    rows.append(event(NOON, "qualified", received_at=later))
    rows.append(event(NOON, "not_countable", received_at=later + TICK))
    (row,) = run(engine, tmp_path, [rows], []).rows
    counts = ("clicks", "conversion", "qualified_application", "disqualified_application", "impressions")
    assert tuple(row[name] for name in counts) == (1, 2, 4, 4, None)
    assert row["latest_update_time"] == later
    assert (row["dates"], row["hours"]) == (date(2024, 2, 28), 19), "the event's own day and hour are the platform's"
