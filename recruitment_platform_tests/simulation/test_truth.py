"""The truth is consistent with what the simulator intends, adds up over receive days, and is exact."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.model.contract import FACT_KEY
from recruitment_platform.simulation.events import FIRST, Block, blocks
from recruitment_platform.simulation.habits import KINDS
from recruitment_platform.simulation.market import Market, make_market
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation
from recruitment_platform.simulation.times import EPOCH, local_days_hours, microseconds
from recruitment_platform.simulation.traffic import intents
from recruitment_platform.simulation.truth import (
    TRUTH,
    day_counts,
    partial_of,
    read_partial,
    truth_for,
    write_partial,
)

OPENING = date(2024, 11, 2)
ZONE = "America/New_York"
MARKET = make_market(5, OPENING, ("USD", "$"))
COUNTED = {
    "click": "clicks",
    "clicks": "clicks",
    "conversion": "conversion",
    "qualified": "qualified_application",
    "unqualified": "disqualified_application",
}


def simulation(*faults: str) -> Simulation:
    return Simulation(5, OPENING, 3_000, frozenset(faults), change_after=1, time_zone=ZONE)


def all_blocks(simulated: Simulation, days: int) -> list[Block]:
    return [block for number in range(days) for block in blocks(simulated, MARKET, OPENING + timedelta(days=number))]


def written(folder: Path, simulated: Simulation, days: int) -> list[pa.Table]:
    """The intents of these days, their truth left in the folder."""
    sent = []
    for block in all_blocks(simulated, days):
        sent.append(intents(block))
        write_partial(folder, block, partial_of(block, sent[-1]))
    return sent


def counted_one_by_one(simulated: Simulation, market: Market, sent: list[pa.Table]) -> dict[tuple[object, ...], dict]:
    """The same facts, row by row in plain Python, from the market's rows."""
    jobs = {int(row["id"]): row for row in market.tables["job"]}
    changed = jobs | {int(row["id"]): row for row in market.changed_jobs}
    facts: dict[tuple[object, ...], dict] = {}
    for row in (row for rows in sent for row in rows.to_pylist()):
        measure = COUNTED.get(KINDS[row["kind"]])
        if measure is None or row["reason"] or (row["arrival"] != FIRST and not row["spend"]):
            continue
        instant = EPOCH + timedelta(microseconds=row["event"])
        local = instant.astimezone(ZoneInfo(simulated.time_zone))
        is_changed = simulated.changed_at is not None and instant >= simulated.changed_at
        job = (changed if is_changed else jobs).get(row["job"], {})

        def known(name: str, said: int | None, job: dict[str, str] = job) -> int:
            return int(job.get(name) or 0) if said is None else said

        key = (
            local.date(),
            local.hour,
            row["job"] or 0,
            row["publisher"] or 0,
            known("campaign_id", row["campaign_id"]),
            known("group_id", row["group_id"]),
            known("company_id", None),
        )
        fact = facts.setdefault(key, {**dict.fromkeys(COUNTED.values(), 0), "spend": 0, "latest": 0})
        fact[measure] += row["arrival"] == FIRST
        fact["spend"] += row["spend"] if measure == "clicks" else 0
        fact["latest"] = max(fact["latest"], row["received"])
    return facts


@pytest.mark.parametrize("faults", [(), ("job_changes", "unknown_jobs"), tuple(ALL_FAULTS)])
def test_the_truth_is_what_is_counted_row_by_row(faults: tuple[str, ...], tmp_path: Path) -> None:
    simulated = simulation(*faults)
    expected = counted_one_by_one(simulated, MARKET, written(tmp_path, simulated, 3))
    days = [OPENING + timedelta(days=number) for number in range(5)]
    truth = truth_for(tmp_path, days)
    assert truth.schema == TRUTH
    rows = truth.to_pylist()
    assert [tuple(row[name] for name in FACT_KEY) for row in rows] == sorted(expected)
    for row in rows:
        fact = expected[tuple(row[name] for name in FACT_KEY)]
        for name in COUNTED.values():
            assert row[name] == fact[name]
        assert row["spend_hour"] == Decimal(fact["spend"]).scaleb(-6)
        mean = row["spend_hour"] / row["clicks"] if row["clicks"] else Decimal(0)
        assert row["bid_set"] == mean.quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert row["impressions"] is None
        assert microseconds(row["latest_update_time"]) == fact["latest"]
    assert truth_for(tmp_path, days[1:2]).equals(truth.filter(pa.array([row["dates"] == days[1] for row in rows])))


def test_only_clicks_cost() -> None:
    (block,) = all_blocks(simulation(), 1)
    rows = intents(block)
    place = rows.schema.get_field_index("kind")
    conversions = np.full(len(rows), KINDS.index("conversion"), np.int8)
    facts = partial_of(block, rows.set_column(place, rows.schema.field(place), pa.array(conversions))).facts
    assert pc.sum(facts["conversion"]).as_py() == len(rows)
    assert pc.sum(rows["spend"]).as_py() > 0
    assert pc.sum(facts["spend_micros"]).as_py() == 0


def test_truths_of_receive_days_add_up_whatever_their_order(tmp_path: Path) -> None:
    simulated = simulation(*ALL_FAULTS)
    written(tmp_path / "ascending", simulated, 3)
    for block in reversed(all_blocks(simulated, 3)):
        write_partial(tmp_path / "descending", block, partial_of(block, intents(block)))
    days = [OPENING + timedelta(days=number) for number in range(4)]
    assert truth_for(tmp_path / "ascending", days).equals(truth_for(tmp_path / "descending", days))
    assert day_counts(tmp_path / "ascending") == day_counts(tmp_path / "descending")


def test_arrivals_of_a_day_add_up(tmp_path: Path) -> None:
    simulated = simulation(*ALL_FAULTS)
    sent = written(tmp_path, simulated, 3)
    total: Counter[str] = Counter()
    for counts in day_counts(tmp_path).values():
        assert counts.accepted == counts.distinct + counts.duplicates + counts.conflicts
        total += Counter(vars(counts))
    assert total["accepted"] == sum(rows["reason"].null_count for rows in sent)
    assert min(total.values()) > 0


def test_a_truth_written_twice_stays_and_another_one_is_refused(tmp_path: Path) -> None:
    (block, *_), (other, *_) = all_blocks(simulation(), 1), all_blocks(simulation("late"), 1)
    partial = partial_of(block, intents(block))
    write_partial(tmp_path, block, partial)
    write_partial(tmp_path, block, partial)
    assert read_partial(tmp_path, block) == partial
    with pytest.raises(InputError, match="traffic simulated for 2024-11-02 is not what it was"):
        write_partial(tmp_path, block, partial_of(other, intents(other)))
    assert read_partial(tmp_path, block) == partial
    assert read_partial(tmp_path, all_blocks(simulation(), 2)[1]) is None


def test_a_truth_that_is_there_in_other_bytes_is_the_same(tmp_path: Path) -> None:
    (block,) = all_blocks(simulation(), 1)
    partial = partial_of(block, intents(block))
    write_partial(tmp_path, block, partial)
    (file,) = tmp_path.glob("*/*.parquet")
    content = pq.read_table(file, partitioning=None)
    pq.write_table(content, file, compression="none")
    write_partial(tmp_path, block, partial)
    pq.write_table(content.slice(1), file)
    with pytest.raises(InputError, match="is not what it was"):
        write_partial(tmp_path, block, partial)


def test_a_truth_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    written(tmp_path, simulation(), 1)
    (file,) = tmp_path.glob("*/*.parquet")
    file.write_bytes(b"PAR1")
    with pytest.raises(StoreUnavailableError, match="cannot read the truth"):
        truth_for(tmp_path, [OPENING])
    (block,) = all_blocks(simulation(), 1)
    partial = partial_of(block, intents(block))
    with pytest.raises(StoreUnavailableError, match="cannot read the truth"):
        write_partial(tmp_path, block, partial)
    file.unlink()
    file.mkdir()
    with pytest.raises(StoreUnavailableError, match="cannot read the truth"):
        write_partial(tmp_path, block, partial)


def test_days_without_a_truth_are_empty(tmp_path: Path) -> None:
    assert truth_for(tmp_path / "nowhere", [OPENING]).num_rows == 0
    assert truth_for(tmp_path, []).schema == TRUTH
    assert day_counts(tmp_path) == {}


@pytest.mark.parametrize(
    "zone",
    [
        "UTC",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Pacific/Apia",
        "Asia/Gaza",
    ],
)
def test_local_days_and_hours_are_those_of_the_calendar(zone: str) -> None:
    rng = np.random.default_rng(3)
    spread = rng.integers(
        microseconds(datetime(1975, 1, 1, tzinfo=UTC)), microseconds(datetime(2037, 1, 1, tzinfo=UTC)), 3_000
    )
    near = microseconds(datetime(2024, 11, 3, 4, 30, tzinfo=UTC)) + np.arange(-1_000, 1_000) * 30_000_001
    instants = np.concatenate([spread, near])
    days, hours = local_days_hours(instants, ZoneInfo(zone))
    for instant, day, hour in zip(instants.tolist(), days.tolist(), hours.tolist(), strict=True):
        local = (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))
        assert (local.toordinal() - EPOCH.toordinal(), local.hour) == (day, hour)
