"""The traffic: shaped on the real, the same whenever it is made, and spelled without changing a value."""

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorRules, through
from recruitment_platform.simulation.events import INTENT, Block, blocks
from recruitment_platform.simulation.faults import payload_hash
from recruitment_platform.simulation.habits import CLICKS, KIND_SHARES, KINDS
from recruitment_platform.simulation.market import make_market
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation
from recruitment_platform.simulation.times import HOUR, MINUTE, day_bounds, day_count, microseconds
from recruitment_platform.simulation.traffic import intents, raw_rows, row_count

OPENING = date(2024, 3, 4)
DAY = date(2024, 3, 13)
MARKET = make_market(11, OPENING, ("USD", "$"))


def one_block(*faults: str, events_per_day: int = 2_000, day: date = DAY, seed: int = 11, zone: str = "UTC") -> Block:
    simulation = Simulation(seed, OPENING, events_per_day, frozenset(faults), time_zone=zone)
    (block,) = blocks(simulation, MARKET, day)
    return block


@pytest.fixture(scope="module")
def busy_day() -> pa.Table:
    return intents(one_block(events_per_day=60_000))


def test_the_same_block_is_the_same_byte_by_byte() -> None:
    for faults in ((), tuple(ALL_FAULTS)):
        block, again = one_block(*faults), one_block(*faults)
        rows = intents(block)
        assert intents(again).equals(rows)
        assert raw_rows(again, rows).equals(raw_rows(block, rows))


@pytest.mark.parametrize("events_per_day", [1, 40, 2_000, 200_000])
@pytest.mark.parametrize("day", [OPENING, OPENING + timedelta(days=1), DAY])
def test_how_many_rows_a_block_has_is_known_before_they_are_made(day: date, events_per_day: int) -> None:
    for faults in (frozenset[str](), *(frozenset({fault}) for fault in ALL_FAULTS), ALL_FAULTS):
        simulation = Simulation(11, OPENING, events_per_day, faults)
        for block in blocks(simulation, MARKET, day)[-1:]:
            assert row_count(block) == len(intents(block))


def test_another_seed_day_or_fault_makes_other_traffic() -> None:
    rows = raw_rows(one_block(), intents(one_block()))
    others = [one_block(seed=12), one_block(day=DAY + timedelta(days=7)), one_block("late"), one_block("malformed")]
    assert not any(raw_rows(other, intents(other)).equals(rows) for other in others)


def test_raw_rows_are_text_in_the_contracts_columns() -> None:
    rows = raw_rows(one_block(), intents(one_block()))
    assert rows.column_names == list(TRACKING.column_names)
    assert {kind.value_type if pa.types.is_dictionary(kind) else kind for kind in rows.schema.types} == {pa.string()}


def test_kinds_jobs_and_publishers_have_the_shares_of_the_real_site(busy_day: pa.Table) -> None:
    kind = busy_day["kind"].to_numpy()
    for number, name in enumerate(KINDS):
        assert (kind == number).mean() == pytest.approx(KIND_SHARES[name], abs=0.004)
    assert KIND_SHARES["click"] + KIND_SHARES["clicks"] == pytest.approx(0.32)
    clicks = busy_day.filter(pa.array(np.isin(kind, CLICKS)))
    only_in_ed = pc.and_(pc.is_null(clicks["job_id"]), pc.is_valid(clicks["job"]))
    assert share(only_in_ed) == pytest.approx(0.56, abs=0.015)
    assert share(pc.is_null(clicks["job"])) < 0.006
    jobs = pc.value_counts(clicks["job"].drop_null()).field("counts").to_numpy()
    assert len(jobs) == 118
    assert jobs.max() / jobs.sum() == pytest.approx(0.2, abs=0.015)
    assert share(pc.equal(clicks["publisher"], int(MARKET.publisher_ids[0]))) == pytest.approx(0.95, abs=0.006)
    bids = clicks["bid"].drop_null()
    for micros, expected in ((0, 0.48), (1_000_000, 0.32), (2_000_000, 0.17), (7_000_000, 0.02)):
        assert share(pc.equal(bids, micros)) == pytest.approx(expected, abs=0.015)
    assert pc.any(pc.not_equal(pc.bit_wise_and(bids, 1), 0)).as_py(), "no bid of a single micro"


def test_clients_times_lag_as_on_the_real_site_and_never_reach_before_the_opening(busy_day: pa.Table) -> None:
    lag = busy_day["received"].to_numpy() - busy_day["event"].to_numpy()
    assert (lag > HOUR).mean() == pytest.approx(0.014, abs=0.003)
    assert lag.max() < timedelta(days=7) / timedelta(microseconds=1)
    assert lag.max() > timedelta(days=5) / timedelta(microseconds=1)
    assert (lag < 0).mean() == pytest.approx(0.03, abs=0.005)
    late = intents(one_block("late", events_per_day=10_000))
    assert ((late["received"].to_numpy() - late["event"].to_numpy()) > HOUR).mean() == pytest.approx(0.35, abs=0.02)
    opened = microseconds(datetime(2024, 3, 4, tzinfo=UTC))
    for day in (OPENING, OPENING + timedelta(days=1)):
        early = intents(one_block("late", "clock_skew", "duplicates", "conflicts", day=day))
        assert pc.min(early["event"]).as_py() >= opened


def test_events_of_a_day_stay_in_it_unless_clocks_are_skewed() -> None:
    for zone in ("UTC", "Asia/Ho_Chi_Minh", "America/New_York"):
        rows = intents(one_block("late", "duplicates", zone=zone))
        start, end = day_bounds(DAY, Simulation(1, DAY, 1, time_zone=zone).zone)
        originals = rows.filter(pc.equal(rows["arrival"], 0))
        assert start <= pc.min(originals["received"]).as_py() < pc.max(originals["received"]).as_py() < end
        assert pc.max(rows["event"]).as_py() < end


def test_days_and_weeks_have_a_rhythm(busy_day: pa.Table) -> None:
    hours = np.bincount(busy_day["received"].to_numpy() % (24 * HOUR) // HOUR, minlength=24)
    assert hours[9:17].sum() > 0.5 * len(busy_day)
    assert hours[1:5].max() * 8 < hours[10]
    week = [day_count(one_block().simulation, OPENING + timedelta(days=number)) for number in range(7)]
    assert sum(week) == 7 * 2_000
    assert max(week[5:]) * 1.3 < min(week[:5])


def test_a_day_of_25_hours_has_more_events_in_the_hour_that_comes_twice() -> None:
    zone = "America/New_York"
    rows = intents(one_block(events_per_day=40_000, day=date(2024, 11, 3), zone=zone))
    start, end = day_bounds(date(2024, 11, 3), Simulation(1, DAY, 1, time_zone=zone).zone)
    assert end - start == 25 * HOUR
    since_midnight = np.bincount((rows["received"].to_numpy() - start) // HOUR)
    assert len(since_midnight) == 25
    assert since_midnight[1] == pytest.approx(since_midnight[2], rel=0.35)


def test_ids_are_version_1_uuids_of_the_receive_time_and_never_repeat() -> None:
    seen: set[str] = set()
    for day in (DAY, DAY + timedelta(days=1)):
        for block in blocks(Simulation(11, OPENING, 190_000), MARKET, day):
            rows = intents(block)
            texts = rows["create_time"].to_pylist()
            assert len(seen) + len(texts) == len(seen.update(texts) or seen)
            for text, received in list(zip(texts, rows["received"].to_pylist(), strict=True))[::997]:
                assert uuid.UUID(text).version == 1
                assert uuid.UUID(text).variant == uuid.RFC_4122
                assert (uuid.UUID(text).time - 0x01B21DD213814000) // 10 == received
    streams = intents(one_block("duplicates", "conflicts", "malformed"))
    firsts = streams.filter(pc.and_(pc.equal(streams["arrival"], 0), pc.is_null(streams["raw_column"])))
    ids_and_days = {
        (row["create_time"], row["event"] // (24 * HOUR)) for row in firsts.select(["create_time", "event"]).to_pylist()
    }
    assert len(ids_and_days) == len(firsts)


def test_receive_times_ascend_from_block_to_block() -> None:
    ends: list[int] = []
    day = blocks(Simulation(11, OPENING, 500_000), MARKET, DAY)
    assert len(day) > 2
    assert [block.number for block in day] == list(range(len(day)))
    assert sum(block.count for block in day) == day_count(day[0].simulation, DAY)
    for block in day[:3]:
        received = intents(block)["received"].to_numpy()
        assert (np.diff(received) >= 0).all()
        ends += [received[0], received[-1]]
    assert ends == sorted(ends)


@pytest.mark.parametrize("faults", [(), ("clock_skew", "unknown_jobs", "late", "conflicts", "duplicates")])
def test_the_door_reads_every_spelling_as_the_value_that_was_meant(faults: Sequence[str]) -> None:
    block = one_block(*faults, events_per_day=8_000, zone="Asia/Kathmandu")
    rows = intents(block)
    raw = raw_rows(block, rows)
    rules = DoorRules("Asia/Kathmandu", OPENING)
    judged = through(raw, rules, "simulator", 1, datetime(2024, 3, 20, tzinfo=UTC))
    assert judged.rejected.num_rows == 0
    accepted = judged.accepted
    assert accepted["flags"].null_count == len(rows)
    for column in TRACKING.columns:
        found = accepted[column.name].combine_chunks()
        if column.type.kind == "timestamp":
            found = found.cast(pa.int64())
        elif column.type.kind == "decimal":
            found = pc.multiply(found, pa.scalar(1_000_000)).cast(pa.int64())
        meant = rows[column.name].cast(pa.string() if column.type.kind == "text" else pa.int64())
        assert found.cast(meant.type).equals(meant.combine_chunks()), column.name
    for name, meant in (("event_time", "event"), ("received_at", "received")):
        assert accepted[name].cast(pa.int64()).combine_chunks().equals(rows[meant].combine_chunks()), name
    for name, meant in (("resolved_job_id", "job"), ("resolved_publisher_id", "publisher")):
        assert accepted[name].cast(pa.int64()).combine_chunks().equals(rows[meant].combine_chunks()), name
    assert accepted["payload_hash"].to_pylist() == [payload_hash(row) for row in rows.to_pylist()]


def test_rows_are_spelled_alike_wherever_they_lie_in_memory() -> None:
    block = one_block(*ALL_FAULTS, events_per_day=9_000)
    rows = intents(block).slice(1_001, 7_003)
    raw = raw_rows(block, rows)
    raw.validate(full=True)
    assert raw.to_pylist() == raw_rows(block, pa.Table.from_pylist(rows.to_pylist(), INTENT)).to_pylist()
    spoilt = [(row["raw_column"], row["raw_text"]) for row in rows.to_pylist()]
    assert {"create_time", "ed", "ts", "bid", "ua"} <= {column for column, _ in spoilt}
    for name in ("ed", "rl", "utm_term", "ts", "job_id"):
        assert {None, ""} <= set(raw[name].to_pylist()), name
    assert all(
        column is None or row[column] == text for row, (column, text) in zip(raw.to_pylist(), spoilt, strict=True)
    )


def test_all_the_forms_of_real_exports_occur(busy_day: pa.Table) -> None:
    block = one_block(events_per_day=60_000)
    raw = raw_rows(block, busy_day)
    patterns = {
        "job_id": (r"^\d+\.0$", r"^\d+$", r"^ \d+ $", r"^\d+\.$"),
        "bid": (r"^1\.0$", r"^1$", r"^\.35$", r"^0\.000001$", r"^1\.000000$"),
        "ts": (
            r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$",
            r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$",
            r"\.\d{6}$",
            r"T.*Z$",
            r"\+07:00$",
            r"-0330$",
            r"^\d{10}$",
            r"^\d{13}$",
            r"^\d{16}$",
            r"^\d{10}\.\d{3}$",
        ),
        "ed": (r'"jobId":"\d+"', r'"jobId":\d+', r'"publisherId":"4,1,2,3,5"', r'"publisherId":null', r'"jobid":5'),
        "create_time": (r"^[0-9A-F-]*[A-F][0-9A-F-]*$",),
        "dt": ("Tìm việc làm", '"'),
        "ua": (";",),
    }
    for column, forms in patterns.items():
        texts = raw[column].cast(pa.string())
        for form in forms:
            assert pc.any(pc.match_substring_regex(texts, form)).as_py(), f"no {column} like {form}"


def test_windows_of_any_size_can_be_simulated() -> None:
    for age, ahead in ((0, 0), (1, MINUTE), (HOUR, 0), (400 * 24 * HOUR, 48 * HOUR)):
        simulation = Simulation(
            11,
            OPENING,
            300,
            frozenset({"clock_skew", "late"}),
            max_age=timedelta(microseconds=age),
            max_ahead=timedelta(microseconds=ahead),
        )
        (block,) = blocks(simulation, MARKET, DAY)
        rows = intents(block)
        raw = raw_rows(block, rows)
        rules = DoorRules("UTC", OPENING, simulation.max_age, simulation.max_ahead)
        accepted = through(raw, rules, "simulator", 1, datetime(2024, 3, 20, tzinfo=UTC)).accepted
        assert accepted["event_time"].cast(pa.int64()).to_pylist() == rows["event"].to_pylist()


def test_a_single_event_with_every_fault_can_be_simulated() -> None:
    block = one_block(*ALL_FAULTS, events_per_day=1)
    assert block.count == 1
    assert len(intents(block)) == len(raw_rows(block, intents(block))) > 100


def share(condition: pa.ChunkedArray) -> float:
    return float(pc.mean(pc.fill_null(condition, False).cast(pa.int8())).as_py())
