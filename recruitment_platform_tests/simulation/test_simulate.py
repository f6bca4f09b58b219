"""A simulation is a continuing process: made again, killed, made twice at once or day after day, it ends the same."""

import os
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.resources.protocols import RejectedRow
from recruitment_platform.simulation import events
from recruitment_platform.simulation.events import blocks
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation, load_record
from recruitment_platform.simulation.score import score
from recruitment_platform.simulation.simulate import SimulatedDay, market_of, run_simulation
from recruitment_platform.simulation.traffic import intents, raw_rows
from recruitment_platform.simulation.truth import day_counts, truth_for
from recruitment_platform_tests.processes import at_once, in_background
from recruitment_platform_tests.resources.lake_batches import events_in
from recruitment_platform_tests.simulation.homes import OPENING, Home, make_home

EVENTS = 300
TOUCHES = frozenset(("open", "os.link", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect"))


def content(home: Home) -> dict[str, Any]:
    """All that a simulation leaves: events in the order of their positions, states, refusals, dimensions, truth."""
    lake, days = home.lake, home.lake.days()
    events = pa.concat_tables([events_in(lake.scan(day)) for day in days])
    return {
        "events": events.sort_by([("source", "ascending"), ("position", "ascending")]).to_pylist(),
        "states": sorted((state.event_date, state.source, state.rows, state.hash_sum) for state in lake.day_states()),
        "sources": sorted(
            (state.source, state.last_position, state.received, state.rejected) for state in lake.sources()
        ),
        "rejected": list(lake.rejected()),
        "dim_jobs": home.relational.dim_jobs()[1].to_pylist(),
        "dim_publishers": home.relational.dim_publishers().to_pylist(),
        "truth": truth_for(home.truth, days).to_pylist(),
        "counts": day_counts(home.truth),
    }


def simulate_in_small_blocks(folder: Path, *, days: int = 2, kill_after: int = 0) -> int:
    """Simulates with every fault, killed at the n-th file or database touched; returns how many there are."""
    events.BLOCK = 150
    touches, touched = count(1), 0

    def touch(event: str, _: object) -> None:
        nonlocal touched
        if event in TOUCHES:
            touched = next(touches)
            if touched == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)

    home = make_home(folder)
    sys.addaudithook(touch)
    home.simulate(*ALL_FAULTS, days=days, events_per_day=EVENTS)
    return touched


def simulate_killed(folder: Path, kill_after: int) -> None:
    simulate_in_small_blocks(folder, kill_after=kill_after)


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """(files and databases touched, content) of a simulation that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    (touched,) = at_once(simulate_in_small_blocks, [(folder,)])
    return touched, content(make_home(folder))


def test_a_simulation_killed_again_and_again_leaves_what_one_in_one_go_does(
    in_one_go: tuple[int, dict[str, Any]], tmp_path: Path
) -> None:
    touched, whole = in_one_go
    codes = []
    for share in (0.15, 0.3, 0.4, 0.5, 1):
        # One that goes on where another was killed has less to touch, and may get to its end.
        process = in_background(simulate_killed, tmp_path, round(share * touched) + (share == 1))
        process.join()
        codes.append(process.exitcode)
    assert codes.count(-signal.SIGKILL) >= 3
    assert codes[-1] == 0
    assert content(make_home(tmp_path)) == whole


@pytest.mark.parametrize("cores", [1, 3])
def test_any_number_of_cores_leaves_the_same(
    in_one_go: tuple[int, dict[str, Any]], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BLOCK", 150)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    home = make_home(tmp_path)
    home.simulate(*ALL_FAULTS, events_per_day=EVENTS)
    assert content(home) == in_one_go[1]


def test_simulations_of_one_home_at_once_leave_what_a_single_one_does(
    in_one_go: tuple[int, dict[str, Any]], tmp_path: Path
) -> None:
    touched = at_once(simulate_in_small_blocks, [(tmp_path,)] * 2)
    assert all(isinstance(number, int) for number in touched), touched
    assert len(list(tmp_path.glob("truth/*/*.parquet"))) > 4
    assert content(make_home(tmp_path)) == in_one_go[1]


def test_simulating_again_changes_nothing_and_says_so(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate(*ALL_FAULTS, events_per_day=EVENTS)
    before, version = content(home), home.relational.dim_jobs()[0]
    files = {path: path.stat().st_mtime_ns for path in home.lake.root.rglob("*.parquet")}
    first_time = list(home.reported)
    home.reported.clear()
    home.simulate(*ALL_FAULTS, events_per_day=EVENTS)
    assert content(home) == before
    assert home.relational.dim_jobs()[0] == version
    assert {path: path.stat().st_mtime_ns for path in home.lake.root.rglob("*.parquet")} == files
    assert [day.known for day in first_time] == [False, False]
    assert home.reported == [
        SimulatedDay(day.day, day.received, day.accepted, day.rejected, True) for day in first_time
    ]


def test_days_simulated_one_by_one_are_those_simulated_in_one_go(tmp_path: Path) -> None:
    one_by_one, in_one_go = make_home(tmp_path / "one-by-one"), make_home(tmp_path / "in-one-go")
    in_one_go.simulate(*ALL_FAULTS, days=4, events_per_day=EVENTS)
    # The change lies in the middle of the first three days as of those four; the record keeps it there.
    one_by_one.simulate(*ALL_FAULTS, days=3, events_per_day=EVENTS)
    one_by_one.simulate(*ALL_FAULTS, first=OPENING + timedelta(days=3), days=1, events_per_day=EVENTS)
    assert content(one_by_one) == content(in_one_go)
    days, facts = one_by_one.facts()
    assert all(scored.matched for scored in score(facts, truth_for(one_by_one.truth, days), days))


def test_a_later_refresh_of_dim_jobs_leaves_the_facts_as_they_are(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("job_changes", events_per_day=EVENTS)
    first = home.facts()[1]
    home.relational.refresh_dim_jobs(datetime.now(UTC), "USD", {"$": "USD"})
    home.simulate("job_changes", events_per_day=EVENTS)
    assert home.facts()[1].equals(first)
    home.simulate("job_changes", days=3, events_per_day=EVENTS)
    days, facts = home.facts()
    assert all(scored.matched for scored in score(facts, truth_for(home.truth, days), days))


def test_a_home_whose_dimensions_were_refreshed_while_empty_can_be_simulated_into(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.relational.refresh_dim_jobs(datetime.now(UTC), "USD", {})
    home.simulate("unknown_jobs", events_per_day=EVENTS)
    days, facts = home.facts()
    assert all(scored.matched for scored in score(facts, truth_for(home.truth, days), days))


def test_a_block_may_be_taken_in_parts_and_once_more_as_a_whole(tmp_path: Path) -> None:
    whole = make_home(tmp_path / "whole")
    simulation = whole.simulate(*ALL_FAULTS, days=1, events_per_day=EVENTS)
    parted = make_home(tmp_path / "parted")
    (block,) = blocks(simulation, market_of(parted.settings, simulation), OPENING)
    raw = raw_rows(block, intents(block))
    destination = parted.destination
    edges = [(0, 40), (40, 41), (0, 40), (41, len(raw)), (0, len(raw))]
    parts = [(start, destination.ready(block, start, raw.slice(start, end - start))) for start, end in edges]
    for start, part in parts:
        destination.take(block, start, part)
    sources = {home.lake.sources()[0] for home in (whole, parted)}
    assert len(sources) == 1
    kept = [
        pa.concat_tables([events_in(home.lake.scan(day)) for day in home.lake.days()]).sort_by("position")
        for home in (whole, parted)
    ]
    assert kept[0].equals(kept[1])
    assert list(parted.lake.rejected()) == list(whole.lake.rejected())
    assert files_of(parted) == listed_files_of(parted)


def test_a_block_of_which_only_some_rows_are_there_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate(days=1, events_per_day=EVENTS)
    (block,) = blocks(simulation, market_of(home.settings, simulation), OPENING)
    raw = raw_rows(block, intents(block))
    before, destination = content(home), home.destination
    beyond = destination.ready(block, 40, raw)
    with pytest.raises(InputError, match=rf"up to {len(raw)}, where no block of it ends.* another RECRUITMENT_HOME"):
        destination.take(block, 40, beyond)
    assert content(home) == before
    assert files_of(home) == listed_files_of(home)


def files_of(home: Home) -> set[str]:
    """The event files in the lake's folder."""
    return {path.relative_to(home.lake.root).as_posix() for path in home.lake.root.glob("tracking/*/*")}


def listed_files_of(home: Home) -> set[str]:
    """Those that its catalog lists."""
    with home.lake.reading() as connection:
        return {path for (path,) in connection.execute("SELECT path FROM files")}


def test_each_platform_currency_has_its_campaigns(tmp_path: Path) -> None:
    home = make_home(tmp_path, currency="EUR")
    home.simulate(days=1, events_per_day=10)
    assert {row["currency"] for row in home.relational.dim_jobs()[1].to_pylist()} == {"EUR"}


@pytest.mark.parametrize("noted", ['"generator": 3,', ""], ids=["another", "before it was noted"])
def test_a_home_of_another_version_of_the_simulator_is_read_but_gets_no_further_days(
    tmp_path: Path, noted: str
) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate(*ALL_FAULTS, days=1, events_per_day=EVENTS)
    record = home.truth / "simulation.json"
    written = record.read_text()
    assert '"generator": 2,' in written
    record.write_text(written.replace('"generator": 2,', noted))
    before = content(home)
    with pytest.raises(InputError, match=r"another version of the simulator.* use another RECRUITMENT_HOME"):
        home.simulate(*ALL_FAULTS, days=2, events_per_day=EVENTS)
    assert content(home) == before
    assert load_record(home.truth) == simulation
    days, facts = home.facts()
    assert all(scored.matched for scored in score(facts, truth_for(home.truth, days), days))


def test_another_simulation_in_the_same_home_is_refused_naming_what_differs(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("late", days=1, events_per_day=EVENTS)
    before = content(home)
    cases: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
        ({"seed": 12}, ("late",), r"seed 12 \(it was 11\)"),
        ({}, (), r"faults none \(it was late\)"),
        ({"events_per_day": 10}, ("late", "malformed"), r"events_per_day 10 .* faults late,malformed \(it was late\)"),
    ]
    for parameters, faults, message in cases:
        with pytest.raises(InputError, match=message) as error:
            home.simulate(*faults, **{"days": 1, "events_per_day": EVENTS, **parameters})
        assert "RECRUITMENT_HOME" in str(error.value)
    assert content(home) == before


def test_days_that_cannot_be_simulated_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    today = datetime.now(ZoneInfo("Asia/Tokyo")).date()
    cases: list[tuple[date, int, dict[str, object], str]] = [
        (today, 1, {}, "before it is over"),
        (today - timedelta(days=2), 9, {}, "before it is over"),
        (OPENING, 0, {}, "lies before the first one"),
        (OPENING, 1, {"first_day": date(2024, 3, 5)}, "the platform's first day is 2024-03-05"),
    ]
    for number, (first, days, settings, message) in enumerate(cases):
        home = make_home(tmp_path / str(number), time_zone="Asia/Tokyo", **settings)
        with pytest.raises(InputError, match=message):
            home.simulate(first=first, days=days)
        assert not home.truth.exists()
        assert home.relational.counts() == {}


def test_days_before_the_opening_and_behind_a_gap_are_refused(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("conflicts", events_per_day=EVENTS)
    with pytest.raises(InputError, match="opens on 2024-03-04"):
        home.simulate("conflicts", first=OPENING - timedelta(days=1), events_per_day=EVENTS)
    with pytest.raises(InputError, match="2024-03-08 cannot be simulated while 2024-03-07 is missing"):
        home.simulate("conflicts", first=OPENING + timedelta(days=4), events_per_day=EVENTS)
    assert len(home.lake.sources()) == 2


def test_without_rows_that_come_again_days_may_be_left_out(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("late", "malformed", days=1, events_per_day=EVENTS)
    home.simulate("late", "malformed", first=OPENING + timedelta(days=3), days=1, events_per_day=EVENTS)
    days, facts = home.facts()
    assert all(scored.matched for scored in score(facts, truth_for(home.truth, days), days))


def test_a_home_with_other_data_is_not_simulated_into(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.relational.upsert("company", [{"id": 1, "name": "Real"}])
    with pytest.raises(InputError, match="holds other jobs or events"):
        home.simulate(days=1)
    assert not home.truth.exists()
    assert home.relational.counts() == {"company": 1}


def test_rejected_rows_are_kept_as_they_came_under_the_day_on_which_they_came(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.simulate("malformed", days=1, events_per_day=EVENTS)
    rejected: list[RejectedRow] = list(home.lake.rejected())
    assert {row.ingest_date for row in rejected} == {OPENING}
    negative = next(row for row in rejected if row.reason == "bid is negative")
    assert '"bid":"-1.0"' in negative.content
    assert negative.table == "tracking"
    assert negative.source == home.lake.sources()[0].source


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"faults": frozenset({"late", "fire"})}, "unknown fault fire; known are clock_skew, conflicts"),
        ({"seed": -1}, "must not be negative"),
        ({"events_per_day": 0}, "at least 1"),
        ({"change_after": -2}, "2 days before the opening"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Simulation(**{"seed": 1, "opening": OPENING, "events_per_day": 10, **parameters})


def test_the_record_gives_back_the_simulation(tmp_path: Path) -> None:
    home = make_home(tmp_path, time_zone="Asia/Ho_Chi_Minh", max_event_age=timedelta(hours=5))
    assert load_record(home.truth) is None
    simulation = home.simulate("job_changes", "late", days=3, events_per_day=10)
    assert load_record(home.truth) == simulation
    assert simulation.max_age == timedelta(hours=5)


def test_sources_differ_where_any_parameter_does() -> None:
    simulations = [
        Simulation(1, OPENING, 10),
        Simulation(2, OPENING, 10),
        Simulation(1, OPENING + timedelta(days=1), 10),
        Simulation(1, OPENING, 11),
        Simulation(1, OPENING, 10, frozenset({"late"})),
        Simulation(1, OPENING, 10, change_after=4),
        Simulation(1, OPENING, 10, time_zone="Asia/Tokyo"),
        Simulation(1, OPENING, 10, currency="EUR"),
        Simulation(1, OPENING, 10, max_age=timedelta(days=6)),
        Simulation(1, OPENING, 10, max_ahead=timedelta(minutes=6)),
    ]
    sources = {simulation.source(OPENING) for simulation in simulations}
    assert len(sources) == len(simulations)
    assert Simulation(1, OPENING, 10).source(OPENING) in sources
    assert all(source.startswith("simulator:") and source.endswith(":2024-03-04") for source in sources)


@pytest.mark.parametrize("broken", ["", "{}", '{"simulation": {"seed": 1}, "states": []}', "[]", "\xff"])
def test_a_record_that_cannot_be_read_is_reported(broken: str, tmp_path: Path) -> None:
    (tmp_path / "simulation.json").write_text(broken, encoding="latin-1")
    with pytest.raises(InputError, match="is no record of a simulation"):
        load_record(tmp_path)


def test_a_truth_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.truth.write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="truth"):
        home.simulate(days=1)


def test_progress_is_reported_day_by_day(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    simulation = home.simulate("malformed", days=2, events_per_day=EVENTS)
    reported: list[SimulatedDay] = []
    last = OPENING + timedelta(days=1)
    done = run_simulation(home.settings, home.destination, home.relational, simulation, OPENING, last, reported.append)
    assert done == reported
    sources = {state.source: state for state in home.lake.sources()}
    for day in done:
        state = sources[simulation.source(day.day)]
        assert (state.received, state.accepted, state.rejected) == (day.received, day.accepted, day.rejected)
