"""From snapshots to the fact table: what is published, what is refused, who wins of two."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import InputError, ReconciliationError
from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.facts import candidate_of, compute_facts
from recruitment_platform.pipeline.manifests import FactsManifest, SnapshotManifest, facts_candidates, to_json
from recruitment_platform.pipeline.publish import UnverifiedDayError, current_facts, load_day, stage_day
from recruitment_platform.pipeline.snapshot import current_snapshot, take_snapshots
from recruitment_platform.transforms.engines import DuckDBEngine, Inputs
from recruitment_platform_tests.site import JOBS, Site, click, event

DAY = date(2025, 6, 2)
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def busy(site: Site) -> Site:
    """A site with jobs, and events on two days."""
    site.employ()
    site.send(
        [
            click("2025-06-02 10:00", 1),
            click("2025-06-02 10:30", 2, bid="1", campaign_id="99"),
            event("2025-06-02 11:00", 3, custom_track="conversion", job_id="2"),
            click("2025-06-03 10:00", 4),
        ]
    )
    return site


def compute(site: Site, days: list[date], run_id: str = "run") -> dict[date, object]:
    for _ in take_snapshots(site.lake, site.objects, days, time_zone="UTC", run_id=run_id):
        pass
    return dict(compute_facts(site.objects, DuckDBEngine(), days, lake_name=site.lake.name, run_id=run_id))


def materialize(site: Site, day: date = DAY, run_id: str = "run") -> FactsManifest:
    compute(site, [day], run_id)
    stage_day(site.objects, day, run_id)
    return load_day(site.objects, site.warehouse, day, run_id).facts


def digests(site: Site) -> dict[date, str]:
    return {day: row.digest for day, row in site.warehouse.ledger().items()}


def test_events_become_the_facts_that_were_worked_out_by_hand(busy: Site) -> None:
    loaded = materialize(busy)
    facts = busy.warehouse.facts(DAY, DAY).to_pylist()
    keys = ("hours", "job_id", "campaign_id", "group_id", "company_id", "clicks", "conversion", "spend_hour", "bid_set")
    assert [tuple(row[key] for key in keys) for row in facts] == [
        (10, 1, 10, 7, 100, 1, 0, Decimal("0.25"), Decimal("0.25")),
        (10, 1, 99, 7, 100, 1, 0, Decimal(1), Decimal(1)),
        (11, 2, 11, 0, 101, 0, 1, Decimal(0), Decimal(0)),
    ]
    assert {row["sources"] for row in facts} == {"Parquet"}
    assert {row["impressions"] for row in facts} == {None}
    assert (loaded.rows, loaded.clicks, loaded.spend_micros) == (3, 2, 1_250_000)


def test_a_day_alone_or_in_a_range_again_in_any_order_has_one_digest(busy: Site, tmp_path: Path) -> None:
    first = {day: materialize(busy, day).digest for day in (NEXT, DAY)}
    compute(busy, [DAY, NEXT], "range")
    for day in (DAY, NEXT):
        assert stage_day(busy.objects, day, "range").facts.digest == first[day]
        assert not load_day(busy.objects, busy.warehouse, day, "range").new
    assert digests(busy) == first


def test_an_empty_day_is_published_empty_and_a_day_that_became_empty_ends_empty(busy: Site) -> None:
    empty = DAY - timedelta(days=3)
    assert materialize(busy, empty).rows == 0
    assert busy.warehouse.ledger()[empty].rows == 0
    busy.send([click("2025-05-30 10:00", 9)])
    assert materialize(busy, empty, "again").rows == 1


def test_late_events_change_their_own_day_only(busy: Site) -> None:
    before = {day: materialize(busy, day).digest for day in (DAY, NEXT)}
    busy.send([click("2025-06-03 12:00", 8, ts="2025-06-02 23:00:00")])
    for day in (DAY, NEXT):
        materialize(busy, day, "later")
    after = digests(busy)
    assert after[DAY] != before[DAY]
    assert after[NEXT] == before[NEXT]


def test_a_job_that_changed_counts_for_the_campaign_it_had_when_the_event_happened(site: Site) -> None:
    site.employ()
    site.employ([{**JOBS[0], "campaign_id": "20"}], as_of=datetime(2025, 6, 2, 10, 15, tzinfo=UTC))
    site.send([click("2025-06-02 10:00", 1), click("2025-06-02 10:15", 2), click("2025-06-02 10:20", 3)])
    materialize(site)
    facts = site.warehouse.facts(DAY, DAY).to_pylist()
    assert {row["campaign_id"]: row["clicks"] for row in facts} == {10: 1, 20: 2}


def test_nothing_is_computed_before_the_dimensions_are(site: Site) -> None:
    site.send([click("2025-06-02 10:00")])
    with pytest.raises(ReconciliationError, match="dim_jobs"):
        compute(site, [DAY])


def test_a_day_whose_error_was_recorded_is_left_out_and_refused(busy: Site) -> None:
    materialize(busy)
    before = digests(busy)
    day_errors.record(busy.objects, "bad", DAY, "the snapshot does not add up")
    outcome = compute(busy, [DAY, NEXT], "bad")
    assert isinstance(outcome[DAY], ReconciliationError)
    assert isinstance(outcome[NEXT], FactsManifest)
    with pytest.raises(ReconciliationError, match="does not add up"):
        stage_day(busy.objects, DAY, "bad")
    assert digests(busy) == before


def test_nothing_computed_and_nothing_staged_say_what_to_materialize(busy: Site) -> None:
    with pytest.raises(ReconciliationError, match="materialize job_hourly_events"):
        stage_day(busy.objects, DAY, "run")
    with pytest.raises(ReconciliationError, match="materialize s3_staged_events"):
        load_day(busy.objects, busy.warehouse, DAY, "run")


def _more_clicks(facts: pa.Table) -> pa.Table:
    return facts.set_column(7, facts.schema.field("clicks"), pa.array([5] * facts.num_rows, pa.int64()))


def _less_spend(facts: pa.Table) -> pa.Table:
    return facts.set_column(
        11, facts.schema.field("spend_hour"), pa.array([Decimal(0)] * facts.num_rows, pa.decimal128(18, 6))
    )


def _other_day(facts: pa.Table) -> pa.Table:
    return facts.set_column(5, facts.schema.field("dates"), pa.array([NEXT] * facts.num_rows, pa.date32()))


TAMPERED: dict[str, tuple[str, Callable[[pa.Table], pa.Table]]] = {
    "clicks": ("reconciles", _more_clicks),
    "spend": ("reconciles", _less_spend),
    "rows twice": ("unique_keys", lambda facts: pa.concat_tables([facts, facts])),
    "another day": ("no_nulls", _other_day),
    "a column less": ("column_types", lambda facts: facts.drop_columns("bid_set")),
    "columns swapped": ("column_types", lambda facts: facts.select([1, 0, *range(2, 16)])),
    "another type": ("column_types", lambda facts: facts.set_column(0, "job_id", facts["job_id"].cast(pa.int64()))),
    "other rows": ("digest", lambda facts: facts.set_column(6, "hours", pa.array([3, 4, 5], pa.int32()))),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_facts_that_are_not_what_was_computed_are_refused_by_the_check_that_sees_it(busy: Site, how: str) -> None:
    check, change = TAMPERED[how]
    busy.send([click("2025-06-02 15:00", 6)])
    materialize(busy)
    before = digests(busy)
    busy.send([event("2025-06-02 16:00", 7)])
    compute(busy, [DAY], "tampered")
    candidate = candidate_of(busy.objects, DAY, "tampered")
    assert candidate is not None
    file = busy.objects.local(candidate.files[0].key)
    facts = pq.read_table(file, partitioning=None)
    if how == "other rows":
        change = lambda facts: facts.set_column(6, "hours", pa.array(range(facts.num_rows), pa.int32()))  # noqa: E731
    pq.write_table(change(facts), file)
    with pytest.raises(UnverifiedDayError) as refused:
        stage_day(busy.objects, DAY, "tampered")
    assert check in refused.value.failed_checks
    assert str(DAY) in str(refused.value)
    load_day(busy.objects, busy.warehouse, DAY, "tampered")
    assert digests(busy) == before


def test_a_snapshot_that_does_not_add_up_is_refused(busy: Site) -> None:
    materialize(busy)
    busy.send([click("2025-06-02 17:00", 5)])
    compute(busy, [DAY], "second")
    snapshot = current_snapshot(busy.objects, DAY)
    assert snapshot is not None
    key = f"raw_tracking/dt={DAY}/manifests/{snapshot.number:06}.json"
    busy.objects.local(key).write_bytes(to_json(replace(snapshot, accepted=snapshot.accepted + 1)))
    with pytest.raises(UnverifiedDayError, match="accepted") as refused:
        stage_day(busy.objects, DAY, "second")
    assert set(refused.value.failed_checks) == {"reconciles"}
    assert busy.warehouse.ledger()[DAY].clicks == 2


@pytest.mark.parametrize(
    ("kind", "measure", "differs"),
    [
        ("click", 0, "clicks 0 instead of 2"),
        ("conversion", 1, "clicks 3 instead of 2, conversion 0 instead of 1"),
        ("conversion", 3, "conversion 0 instead of 1, qualified_application 1 instead of 0"),
        ("not_countable", 4, "disqualified_application 1 instead of 0"),
    ],
)
def test_a_snapshot_whose_measures_are_not_its_kinds_is_not_published(
    busy: Site, kind: str, measure: int, differs: str
) -> None:
    busy.send([event("2025-06-02 12:00", 5)])
    _change_snapshot(busy, lambda events: _measured(events, kind, measure))
    with pytest.raises(UnverifiedDayError) as refused:
        stage_day(busy.objects, DAY, "run")
    assert set(refused.value.failed_checks) == {"reconciles"}
    assert differs in str(refused.value)
    assert current_facts(busy.objects, DAY) is None


def _measured(events: pa.Table, kind: str, measure: int) -> pa.Table:
    """The events, those of the kind with this measure."""
    at = events.schema.get_field_index("measure")
    wrong = pc.if_else(pc.equal(events["kind"], kind), pa.scalar(measure, pa.int32()), events["measure"])
    return events.set_column(at, events.schema.field(at), wrong)


def _change_snapshot(site: Site, change: Callable[[pa.Table], pa.Table]) -> object:
    """Takes the day's snapshot, changes its file, and computes the facts: what comes of them."""
    for _ in take_snapshots(site.lake, site.objects, [DAY], time_zone="UTC", run_id="run"):
        pass
    snapshot = current_snapshot(site.objects, DAY)
    assert snapshot is not None
    file = site.objects.local(snapshot.files[0].key)
    pq.write_table(change(pq.read_table(file, partitioning=None)), file)
    [(_, outcome)] = compute_facts(site.objects, DuckDBEngine(), [DAY], lake_name=site.lake.name, run_id="run")
    return outcome


def test_a_snapshot_by_older_code_that_lacks_a_column_says_to_take_it_again_which_mends_it(
    busy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recruitment_platform.pipeline.snapshot.CODE_VERSION", "former")
    outcome = _change_snapshot(busy, lambda events: events.drop_columns("measure"))
    monkeypatch.undo()
    assert isinstance(outcome, InputError)
    assert str(outcome).startswith(f"job_hourly_events {DAY}: raw_tracking: ")
    assert str(outcome).endswith("has nothing as measure, not int32; materialize raw_tracking again")
    with pytest.raises(ReconciliationError, match="materialize raw_tracking again"):
        stage_day(busy.objects, DAY, "run")
    assert materialize(busy, run_id="again").clicks == 2


def test_files_that_are_gone_are_named(busy: Site) -> None:
    compute(busy, [DAY])
    candidate = candidate_of(busy.objects, DAY, "run")
    assert candidate is not None
    busy.objects.delete([candidate.files[0].key])
    with pytest.raises(UnverifiedDayError, match="a file is gone"):
        stage_day(busy.objects, DAY, "run")


def test_an_older_run_that_ends_last_leaves_the_newest_snapshot_in_force(busy: Site) -> None:
    compute(busy, [DAY], "older")
    busy.send([click("2025-06-02 20:00", 5)])
    newest = materialize(busy, run_id="newest")
    staged = stage_day(busy.objects, DAY, "older")
    assert not staged.new
    assert staged.facts == newest
    assert load_day(busy.objects, busy.warehouse, DAY, "older").facts == newest
    assert busy.warehouse.ledger()[DAY].digest == newest.digest


def test_at_equal_watermarks_older_dimensions_are_refused(busy: Site) -> None:
    compute(busy, [DAY], "older")
    busy.employ([{**JOBS[0], "campaign_id": "20"}], as_of=datetime(2025, 6, 2, 10, 5, tzinfo=UTC))
    newest = materialize(busy, run_id="newest")
    assert newest.dim_version == 2
    assert stage_day(busy.objects, DAY, "older").facts == newest


def test_the_run_publishes_what_it_computed_itself(busy: Site) -> None:
    compute(busy, [DAY], "mine")
    busy.send([click("2025-06-02 21:00", 5)])
    compute(busy, [DAY], "mine-too")
    last = candidate_of(busy.objects, DAY, "mine-too")
    assert last is not None
    # an older run's candidate may come last: ours is still the one to publish
    stale = candidate_of(busy.objects, DAY, "mine")
    assert stale is not None
    busy.objects.put_if_absent(
        f"{facts_candidates(DAY)}{last.number + 1:06}.json", to_json(replace(stale, number=last.number + 1))
    )
    assert stage_day(busy.objects, DAY, "mine-too").facts.digest == last.digest


def test_a_table_that_is_not_its_manifest_and_unknown_jobs_fail_their_checks(busy: Site) -> None:
    busy.send([click("2025-06-02 21:00", 5, job_id="777")])
    compute(busy, [DAY])
    stage_day(busy.objects, DAY, "run")
    loaded = load_day(busy.objects, busy.warehouse, DAY, "run")
    assert loaded.failed_checks == {"dims_cover_jobs": "1 jobs are unknown: 777"}
    manifest = current_facts(busy.objects, DAY)
    assert manifest is not None
    key = f"s3_staged_events/dt={DAY}/manifests/{manifest.number:06}.json"
    content = json.loads(busy.objects.get(key)) | {"clicks": 77}
    busy.objects.local(key).write_text(json.dumps(content))
    assert "table_matches_manifest" in load_day(busy.objects, busy.warehouse, DAY, "again").failed_checks


def test_a_snapshot_file_that_is_gone_names_the_day_and_spares_the_others(busy: Site) -> None:
    compute(busy, [DAY, NEXT], "first")
    snapshot = current_snapshot(busy.objects, DAY)
    assert isinstance(snapshot, SnapshotManifest)
    busy.objects.delete([snapshot.files[0].key])
    outcome = dict(compute_facts(busy.objects, DuckDBEngine(), [DAY, NEXT], lake_name=busy.lake.name, run_id="second"))
    assert str(DAY) in str(outcome[DAY])
    assert isinstance(outcome[NEXT], FactsManifest)


def test_a_range_is_computed_as_many_days_at_once_as_facts_fit_in_memory(
    busy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Watched(DuckDBEngine):
        def run(self, transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path) -> None:
            asked.append(len(inputs["raw_tracking"]))
            super().run(transform, inputs, parameters, out)

    days = [DAY, NEXT, NEXT + timedelta(days=1)]
    at_once = compute(busy, days, "at once")
    for most, parts in ((4, [3]), (3, [1, 2]), (1, [1, 2])):
        asked.clear()
        monkeypatch.setattr("recruitment_platform.pipeline.facts.EVENTS_AT_ONCE", most)
        found = dict(compute_facts(busy.objects, Watched(), days, lake_name=busy.lake.name, run_id=f"{most}"))
        assert asked == parts
        assert {day: facts.digest for day, facts in found.items() if isinstance(facts, FactsManifest)} == {
            day: facts.digest for day, facts in at_once.items() if isinstance(facts, FactsManifest)
        }


def test_a_snapshot_that_no_engine_can_read_names_the_day_and_spares_the_others(busy: Site) -> None:
    compute(busy, [DAY, NEXT], "first")
    snapshot = current_snapshot(busy.objects, DAY)
    assert isinstance(snapshot, SnapshotManifest)
    busy.objects.local(snapshot.files[0].key).write_bytes(b"not Parquet")
    outcome = dict(compute_facts(busy.objects, DuckDBEngine(), [DAY, NEXT], lake_name=busy.lake.name, run_id="second"))
    assert str(DAY) in str(outcome[DAY])
    assert isinstance(outcome[NEXT], FactsManifest)
    with pytest.raises(ReconciliationError, match=str(DAY)):
        stage_day(busy.objects, DAY, "second")


def test_scratch_files_are_gone_afterwards(busy: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    materialize(busy)
    assert list(scratch.iterdir()) == []
    shutil.rmtree(scratch)
