"""The audit explains a day from what the stores hold: real ones, brought into each state by the steps themselves."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recruitment_platform.errors import InputError
from recruitment_platform.model.door import LAKE_SCHEMA, through
from recruitment_platform.pipeline.adjustments import book_day
from recruitment_platform.pipeline.audit import DayAudit, audit_day
from recruitment_platform.pipeline.publish import stage_day, verified
from recruitment_platform.pipeline.reconciliation import EVERY_POSITION, KindOfSource, scanned
from recruitment_platform.pipeline.totals import KINDS
from recruitment_platform.resources.cassandra.lake import migrate_cassandra, open_cassandra_lake
from recruitment_platform.resources.protocols import LakeScan, RejectedRow
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.pipeline.tampering import change_lake
from recruitment_platform_tests.pipeline.test_status import compute, materialize
from recruitment_platform_tests.resources.cassandra_lakes import address_of
from recruitment_platform_tests.resources.lake_batches import append_all, events_in
from recruitment_platform_tests.site import JOBS, NOW, RULES, Site, click, event

DAY = date(2025, 6, 2)
A, B = "test:a", "test:b"


def audit(site: Site, day: date = DAY) -> DayAudit:
    return audit_day(site.lake, site.objects, site.warehouse, day)


def sound(site: Site) -> DayAudit:
    found = audit(site)
    assert found.problems == []
    return found


def figures(found: DayAudit, what: str) -> Mapping[str, int]:
    (compared,) = (one for one in found.comparisons if one.what == what)
    return compared.values


@pytest.fixture
def published(site: Site) -> Site:
    """A day of two sources: a click that came twice from one and once from the other, and a conflict between them."""
    site.employ()
    again, other = click(f"{DAY} 10:00", 1), click(f"{DAY} 11:00", 2, bid="1")
    site.send([again, again, other, event(f"{DAY} 12:00", 3, custom_track="conversion")], A)
    site.send([again, {**other, "bid": "2"}, click(f"{DAY} 13:00", 4), event(f"{DAY} 13:00", 5)], B)
    materialize(site, DAY)
    return site


def test_duplicates_and_conflicts_across_sources_are_counted_where_they_came(published: Site) -> None:
    found = sound(published)
    winner = {2_000_000: B, 1_000_000: A}[found.snapshot.click_micros - 500_000]
    lines = {(line.source, line.kind): line for line in found.kinds}
    assert lines == {
        (A, "click"): KindOfSource(
            A, "click", 3, 1 + (winner == A), 1, int(winner == B), 250_000 + 1_000_000 * (winner == A)
        ),
        (A, "conversion"): KindOfSource(A, "conversion", 1, 1, 0, 0, 0),
        (B, "click"): KindOfSource(
            B, "click", 3, 1 + (winner == B), 1, int(winner == A), 250_000 + 2_000_000 * (winner == B)
        ),
        (B, "not_countable"): KindOfSource(B, "not_countable", 1, 1, 0, 0, 0),
    }
    assert figures(found, "accepted") == {"lake": 8, "snapshot": 8}
    assert figures(found, "duplicates") == {"lake": 2, "snapshot": 2}
    assert figures(found, "conflicts") == {"lake": 1, "snapshot": 1}
    clicks = figures(found, "click")
    assert clicks == dict.fromkeys(("lake", "snapshot", "facts", "ledger", "table"), 3)
    assert set(figures(found, "spend in micros").values()) == {found.snapshot.click_micros}
    assert [(row.reason, row.source) for row in found.listed] == [("conflict", A if winner == B else B)]


def test_each_source_tells_its_positions_and_how_it_adds_up(published: Site) -> None:
    published.send([click(f"{DAY - timedelta(days=1)} 10:00", 9)], A)
    first, second = sound(published).sources
    assert (first.source, first.rows, first.first_position, first.last_position) == (A, 4, 1, 4)
    assert (first.received, first.accepted, first.rejected) == (5, 5, 0)
    assert (second.source, second.rows, second.later_rows) == (B, 4, 0)


def test_late_events_make_a_second_load_that_changed_exactly_what_they_brought(published: Site) -> None:
    published.send([click(f"{DAY} 20:00", 20, bid="3.5"), click(f"{DAY} 10:00", 1)], "test:late")
    between = audit(published)
    assert between.problems == []
    assert between.later_rows == 2
    assert {source.source: source.later_rows for source in between.sources} == {A: 0, B: 0, "test:late": 2}
    assert figures(between, "accepted") == {"lake": 8, "snapshot": 8}
    materialize(published, DAY, run_id="again")
    found = sound(published)
    assert [load.row.run_id for load in found.loads] == ["run", "again"]
    assert found.loads[0].changes == (4, 3, found.loads[0].row.spend_micros)
    assert found.loads[1].changes == (1, 1, 3_500_000)
    assert [load.why for load in found.loads] == [("first load",), ("events from test:late",)]
    assert figures(found, "duplicates") == {"lake": 3, "snapshot": 3}


def test_a_load_by_other_jobs_says_so(published: Site) -> None:
    published.employ([{**JOBS[0], "campaign_id": "12"}, *JOBS[1:], {"id": "3", "title": "Chef"}], as_of=NOW)
    materialize(published, DAY, run_id="again")
    assert sound(published).loads[-1].why == ("dim_jobs 1 → 2", "no row changed")
    assert audit(published).loads[-1].changes == (0, 0, 0)


def test_facts_that_are_staged_and_not_loaded_are_told_apart_from_the_table(published: Site) -> None:
    published.send([click(f"{DAY} 20:00", 20)], "test:late")
    compute(published, [DAY], "again")
    newer = audit(published)
    assert (newer.problems, newer.newer_snapshot, newer.snapshot.number) == ([], 2, 1)
    stage_day(published.objects, DAY, "again")
    found = sound(published)
    assert figures(found, "click") == {"lake": 4, "snapshot": 4, "facts": 4}
    assert figures(found, "click, as loaded") == {"ledger": 3, "table": 3}


def test_a_closed_day_tells_what_was_billed_and_what_is_adjusted_since(published: Site) -> None:
    assert published.warehouse.close_through(DAY, NOW)
    published.send([click(f"{DAY} 20:00", 20, bid="3.5")], "test:late")
    compute(published, [DAY], "late")
    candidate, _ = verified(published.objects, DAY, "late")
    book_day(published.objects, published.warehouse, candidate, "late")
    found = sound(published)
    assert (found.closed, found.newer_snapshot, found.later_rows) == (True, 2, 1)
    assert set(figures(found, "click").values()) == {3}
    assert figures(found, "click, adjusted") == {"snapshot": 4, "table and adjustments": 4}
    spent = found.snapshot.click_micros + 3_500_000
    assert figures(found, "spend in micros, adjusted") == {"snapshot": spent, "table and adjustments": spent}
    assert [(one.row.clicks, one.row.spend_micros, one.in_force) for one in found.bookings] == [(1, 3_500_000, True)]
    assert len(found.loads) == 1


def test_a_day_of_a_lake_on_cassandra_is_explained_alike(
    published: Site, cassandra_server: Server, keyspace: str
) -> None:
    address = address_of(cassandra_server, keyspace)
    migrate_cassandra(address, RULES)
    lake = open_cassandra_lake(address, RULES)
    for state in published.lake.sources():
        events = events_in(published.lake.scan(DAY))
        rows = events.filter(pc.equal(events["source"], state.source))
        rows = rows.sort_by("position").cast(LAKE_SCHEMA)
        assert append_all(lake, state.source, rows)
    found = audit_day(lake, published.objects, published.warehouse, DAY)
    embedded = audit(published)
    assert found.problems == []
    assert (found.kinds, found.comparisons) == (embedded.kinds, embedded.comparisons)
    assert found.sources == embedded.sources
    session = lake.connection.rows
    key = "event_date, bucket, create_time, payload_hash, arrival, position"
    lost = session.execute(f"SELECT {key} FROM tracking LIMIT 1").one()
    session.execute(f"DELETE FROM tracking WHERE {' AND '.join(f'{name} = %s' for name in key.split(', '))}", lost)
    first, *_ = audit_day(lake, published.objects, published.warehouse, DAY).problems
    assert first == f"{lost[4]}: the lake holds 3 rows of the day, 4 were written"


def rejected_row(position: int, reason: str, source: str = A) -> RejectedRow:
    return RejectedRow("tracking", source, position, reason, "{}", date(2025, 6, 3), "a.csv")


def send_bad(site: Site, rows: int, source: str = A) -> None:
    """Sends that many rows of which the door wants nothing."""
    after = site.lake.progress(source)
    bad = [rejected_row(after + 1 + n, "bid is negative", source) for n in range(rows)]
    empty = through(pa.table({"create_time": pa.array([], pa.string())}), RULES, source, 1, NOW).accepted
    assert site.lake.append(
        source, accepted=empty, rejected=bad, after=after, last_position=after + rows, received=rows
    )


def mend(site: Site, position: int, row: Mapping[str, str | None], source: str = A) -> None:
    raw = pa.table({name: pa.array([value], pa.string()) for name, value in row.items()})
    assert site.lake.replay(through(raw, RULES, source, position, NOW).accepted) == 1


def test_rejected_rows_of_the_days_sources_are_told_by_ingest_day_and_reason(published: Site) -> None:
    send_bad(published, 3)
    send_bad(published, 2, "test:elsewhere")
    found = sound(published)
    assert [(row.ingest_date, row.source, row.reason, row.rows, row.first_position) for row in found.rejected] == [
        (date(2025, 6, 3), A, "bid is negative", 3, 5)
    ]
    assert [(source.received, source.accepted, source.rejected) for source in found.sources] == [(7, 4, 3), (4, 4, 0)]


def test_mended_rows_count_with_their_source_once_the_day_was_run_again(published: Site) -> None:
    send_bad(published, 1)
    mend(published, 5, click(f"{DAY} 21:00", 21))
    between = sound(published)
    assert (between.unclear, between.later_rows) == ((A,), 1)
    assert "lake" not in figures(between, "accepted")
    assert {line.source for line in between.kinds} == {B}
    materialize(published, DAY, run_id="again")
    found = sound(published)
    assert (found.unclear, figures(found, "accepted")) == ((), {"lake": 9, "snapshot": 9})
    assert [(source.rows, source.replayed) for source in found.sources] == [(4, 1), (4, 0)]


@pytest.mark.parametrize(
    ("statement", "problems"),
    [
        (
            "SELECT * FROM rows WHERE position <> 4",
            [
                "test:a: the lake holds 3 rows of the day, 4 were written",
                "accepted: 7 by the lake, 8 by the snapshot",
                "distinct: 4 by the lake, 5 by the snapshot",
                "conversion: 0 by the lake, 1 by the snapshot, 1 by the facts, 1 by the table",
            ],
        ),
        (
            "SELECT * REPLACE (if(position = 4, payload_hash + 1, payload_hash) AS payload_hash) FROM rows",
            ["test:a: the lake's 4 rows of the day are not those that were written: their hashes differ"],
        ),
    ],
)
def test_what_the_lake_lost_or_holds_otherwise_is_named(published: Site, statement: str, problems: list[str]) -> None:
    change_lake(published.lake, DAY, A, statement)
    assert audit(published).problems == problems


def test_a_source_that_does_not_add_up_is_named(published: Site) -> None:
    with closing(sqlite3.connect(published.lake.catalog)) as catalog, catalog:
        catalog.execute("UPDATE sources SET received = 5, accepted = 5 WHERE source = ?", [A])
    assert audit(published).problems == ["test:a: 5 rows were accepted, 4 are in the days"]


def test_a_fact_table_that_was_changed_by_hand_is_named(published: Site) -> None:
    with duckdb.connect(str(published.warehouse.path)) as connection:
        connection.execute("UPDATE redshift_fact_events SET clicks = clicks + 1 WHERE hours = 13")
    (problem,) = audit(published).problems
    assert problem == ("click: 3 by the lake, 3 by the snapshot, 3 by the facts, 3 by the ledger, 4 by the table")


def test_a_day_without_a_snapshot_says_what_to_do(site: Site) -> None:
    with pytest.raises(InputError, match=r"never had a snapshot.*run --from 2025-06-02 --to 2025-06-02"):
        audit(site)


def test_a_day_without_events_is_explained_too(published: Site) -> None:
    empty = DAY + timedelta(days=5)
    materialize(published, empty)
    found = audit(published, empty)
    assert (found.problems, found.sources, found.kinds) == ([], (), ())
    assert figures(found, "rows") == {"facts": 0, "ledger": 0, "table": 0}


def reference(arrivals: Iterable[tuple[str, int, int, int, str]], reach: Mapping[str, int]) -> list[KindOfSource]:
    """Promise 1 by source and kind, row by row: of (source, position, id, content, custom_track)."""
    contents: dict[int, set[int]] = defaultdict(set)
    first: dict[tuple[int, int], tuple[str, int]] = {}
    had = [arrival for arrival in arrivals if arrival[1] <= reach.get(arrival[0], 0)]
    for source, position, number, content, _ in sorted(had):
        contents[number].add(content)
        first.setdefault((number, content), (source, position))
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for source, position, number, content, track in had:
        kind = {"clicks": "click"}.get(track, track)
        line = counts[source, kind if kind in KINDS else "not_countable"]
        line["accepted"] += 1
        if first[number, content] != (source, position):
            line["duplicates"] += 1
        elif content == min(contents[number]):
            line["distinct"] += 1
            line["micros"] += content if track in ("click", "clicks") else 0
        else:
            line["conflicts"] += 1
    names = ("accepted", "distinct", "duplicates", "conflicts", "micros")
    keys = sorted(counts, key=lambda key: (key[0], KINDS.index(key[1])))
    return [KindOfSource(*key, *(counts[key][name] for name in names)) for key in keys]


TRACKS = ("click", "clicks", "conversion", "qualified", "unqualified", "alive", "")
ARRIVALS = st.lists(st.tuples(st.sampled_from("äAab"), st.integers(0, 4), st.integers(-2, 2)), min_size=1, max_size=40)


@given(ARRIVALS, st.dictionaries(st.sampled_from("äAab"), st.integers(0, 20)))
@settings(max_examples=40, deadline=None)
def test_the_reconciliation_is_what_a_plain_loop_counts(
    arrived: list[tuple[str, int, int]], some: dict[str, int]
) -> None:
    at: Counter[str] = Counter()
    rows = []
    for source, number, content in arrived:
        at[source] += 1
        # What kind an event is, is part of its content.
        rows.append((source, at[source], number, content, TRACKS[(number * 5 + content) % len(TRACKS)]))
    reach = {source: some.get(source, EVERY_POSITION) for source in "äAab"}
    events = pa.table(
        {
            "create_time": [f"00000000-0000-1000-8000-{number:012}" for _, _, number, _, _ in rows],
            "payload_hash": pa.array([content for _, _, _, content, _ in rows], pa.int64()),
            "source": [source for source, *_ in rows],
            "position": pa.array([position for _, position, *_ in rows], pa.int64()),
            "custom_track": [track or None for *_, track in rows],
            "bid_micros": pa.array([content for _, _, _, content, _ in rows], pa.int64()),
        }
    )
    found, lines = scanned(LakeScan({}, len(rows), events), reach)
    assert list(lines) == reference(rows, reach)
    assert {source: state.rows for source, state in found.items()} == dict(at)
    assert sum(state.later_rows for state in found.values()) == sum(
        position > reach[source] for source, position, *_ in rows
    )
