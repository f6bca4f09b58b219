"""Rejected rows can be listed, mended in place, and taken in under their own source and position."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.files import look_at
from recruitment_platform.ingest.readers import read_rows, row_content, row_texts
from recruitment_platform.ingest.rejected import ABOUT, write_rejected
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.resources.protocols import RejectedRow
from recruitment_platform_tests.ingest.event_files import event, time_uuid, write_csv
from recruitment_platform_tests.ingest.stores import Stores

Style = Literal["jsonl", "csv"]
STYLES: tuple[Style, ...] = ("jsonl", "csv")
Mend = Callable[[dict[str, Any]], Mapping[str, Any]]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "home")


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> Style:
    chosen: Style = request.param
    return chosen


def mended(stores: Stores, style: Style, mend: Mend) -> Path:
    """A file of `rejected list`, each row of it changed by `mend`."""
    out = io.StringIO()
    write_rejected(stores.lake.rejected(), out, style)
    path = stores.home / f"mended.{style}"
    if style == "jsonl":
        rows = [mend(json.loads(line)) for line in out.getvalue().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    reader = csv.DictReader(io.StringIO(out.getvalue(), newline=""))
    rows = [mend(row) for row in reader]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_it_is(row: dict[str, Any]) -> Mapping[str, Any]:
    return row


def with_values(**values: str) -> Mend:
    return lambda row: row | values


def test_mended_rows_are_taken_in_under_their_own_source_and_position(
    stores: Stores, tmp_path: Path, style: Style
) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1), event(2, bid="-1", ua='two\n"lines"; äö'), event(3, job_id="x", bid="2")])
    source = stores.take("tracking", path).source
    file = mended(stores, style, lambda row: row | {"bid": "1.25", "job_id": "188"})
    result = stores.replay(file)
    assert (result.replayed, result.still_rejected, result.already_known) == (2, (), 0)
    events = stores.events()
    assert [(row["source"], row["position"]) for row in events] == [(source, 2), (source, 3), (source, 5)]
    assert events[1]["ua"] == 'two\n"lines"; äö'
    assert [row["bid_micros"] for row in events] == [1_500_000, 1_250_000, 1_250_000]
    assert list(stores.lake.rejected()) == []
    state = stores.state(source)
    assert (state.received, state.accepted, state.rejected) == (3, 3, 0)
    before = stores.dump()
    again = stores.replay(file)
    assert (again.replayed, again.still_rejected, again.already_known) == (0, (), 2)
    assert stores.dump() == before
    assert stores.take("tracking", path).accepted == 0
    assert stores.dump() == before


def test_a_replayed_row_is_the_row_that_a_good_file_would_have_brought(
    stores: Stores, tmp_path: Path, style: Style
) -> None:
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    write_csv(bad, [event(1, bid="x", dl='https://jobs.example/?a=1&b="2"', dt=" , ")])
    write_csv(good, [event(1, bid="3", dl='https://jobs.example/?a=1&b="2"', dt=" , ")])
    stores.take("tracking", bad)
    assert stores.replay(mended(stores, style, with_values(bid="3"))).replayed == 1
    stores.take("tracking", good)
    first, second = (dict(row) for row in stores.events())
    for row in (first, second):
        del row["source"]
    assert first == second


def test_rows_that_are_still_wrong_stay_rejected_with_the_reason_why(
    stores: Stores, tmp_path: Path, style: Style
) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1, bid="-1"), event(2, bid="-1"), event(3, bid="-1")])
    stores.take("tracking", path)
    before = stores.dump()
    unmended = stores.replay(mended(stores, style, as_it_is))
    assert [row.reason for row in unmended.still_rejected] == ["bid is negative"] * 3
    assert stores.dump() == before
    bids = {2: "7", 3: "0.1234567", 4: "-1"}
    result = stores.replay(mended(stores, style, lambda row: row | {"bid": bids[int(row["position"])]}))
    assert result.replayed == 1
    assert [(row.position, row.reason) for row in result.still_rejected] == [
        (3, "bid has more than 6 decimals"),
        (4, "bid is negative"),
    ]
    assert [row.position for row in stores.lake.rejected()] == [3, 4]


def test_a_row_of_wrong_form_is_replayed_once_its_text_is_in_the_columns(
    stores: Stores, tmp_path: Path, style: Style
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"create_time,bid,job_id\n{time_uuid(1)},,2,8\n{time_uuid(2)},3\n")
    stores.take("tracking", path)
    result = stores.replay(mended(stores, style, as_it_is))
    assert result.replayed == 0
    assert [row.reason.partition(";")[0] for row in result.still_rejected] == [
        "has 4 fields where the header has 3",
        "has 2 fields where the header has 3",
    ]
    assert all("unparsed" in row.reason for row in result.still_rejected)
    result = stores.replay(mended(stores, style, with_values(bid="2.8", job_id="7", unparsed="")))
    assert result.replayed == 2
    assert [(row["create_time"], row["bid_micros"], row["job_id"]) for row in stores.events()] == [
        (time_uuid(1), 2_800_000, 7),
        (time_uuid(2), 2_800_000, 7),
    ]


def test_json_lines_and_other_sources_are_replayed_alike(stores: Stores, tmp_path: Path, style: Style) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(json.dumps({"create_time": time_uuid(1), "bid": -1, "ed": {"jobId": 7}}) + "\nnonsense\n")
    second.write_text(json.dumps({"create_time": time_uuid(2), "job_id": 1.5}) + "\n")
    sources = [stores.take("tracking", path).source for path in (first, second)]

    def mend(row: dict[str, Any]) -> Mapping[str, Any]:
        return row | {"bid": "1", "job_id": "", "unparsed": "", "create_time": row.get("create_time") or time_uuid(3)}

    assert stores.replay(mended(stores, style, mend)).replayed == 3
    assert sorted((row["source"], row["position"]) for row in stores.events()) == sorted(
        [(sources[0], 1), (sources[0], 2), (sources[1], 1)]
    )


def test_rows_that_were_never_rejected_are_left_alone(stores: Stores, tmp_path: Path, style: Style) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1), event(2, bid="-1")])
    stores.take("tracking", path)
    before = stores.dump()
    for change in ({"position": "2"}, {"source": "file:other"}, {"table": "job"}):
        result = stores.replay(mended(stores, style, with_values(bid="1", **change)))
        assert (result.replayed, result.still_rejected, result.already_known) == (0, (), 1)
    assert stores.dump() == before


def test_operational_rows_are_replayed_and_not_rejected_again_by_their_file(
    stores: Stores, tmp_path: Path, style: Style
) -> None:
    path = tmp_path / "job.csv"
    path.write_text("id,title,company_id,note\n1,Cook,x,why\n2,Nurse,y,not\n")
    stores.take("job", path)
    file = mended(stores, style, lambda row: row | {"company_id": "7" if row["id"] == "1" else "z"})
    result = stores.replay(file)
    assert result.replayed == 1
    assert [(row.table, row.position, row.reason) for row in result.still_rejected] == [
        ("job", 3, "company_id is not an integer")
    ]
    assert stores.relational.counts() == {"job": 1}
    assert [row.position for row in stores.lake.rejected()] == [3]
    before = stores.dump()
    assert stores.replay(file).already_known == 1
    assert stores.take("job", path).rejected == 2
    assert stores.dump() == before


def test_generic_rows_are_replayed_even_where_their_columns_bear_our_names(
    stores: Stores, tmp_path: Path, style: Style
) -> None:
    path = tmp_path / "events.csv"
    path.write_text("id,source,position,row.x\n1,web,top,y,surplus\n")
    stores.take("events", path)
    assert stores.replay(mended(stores, style, with_values(unparsed=""))).replayed == 1
    ((_, _, content),) = stores.dump()["generic_row"]
    assert json.loads(content) == {"id": "1", "source": "web", "position": "top", "row.x": "y"}
    assert list(stores.lake.rejected()) == []


BROKEN = {
    "no position": ('{"table":"tracking","source":"s","bid":"1"}\n', "has no column position"),
    "an empty position": (
        '{"table":"tracking","source":"s","position":""}\n',
        "line 1 lacks table, source or position",
    ),
    "a worded position": ('{"table":"tracking","source":"s","position":"x"}\n', "line 1 lacks table, source or pos"),
    "no source": ('{"table":"tracking","position":2}\n', "line 1 lacks table, source or position"),
    "a broken line": ('{"table":"tracking","source":"s","position":2}\n{"table"\n', "line 2 is not valid JSON"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_its_mending_has_broken_is_refused_whole(
    stores: Stores, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1, bid="-1")])
    stores.take("tracking", path)
    before = stores.dump()
    file = mended(stores, "jsonl", with_values(bid="1"))
    with file.open("a") as out:
        out.write(text)
    alone = tmp_path / "alone.jsonl"
    alone.write_text(text)
    with pytest.raises(InputError, match=message):
        stores.replay(alone)
    if "no column" not in message:
        with pytest.raises(InputError, match="nothing was replayed"):
            stores.replay(file)
    assert stores.dump() == before


def test_a_break_far_into_a_mended_file_is_found_before_anything_is_changed(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1, bid="-1")])
    stores.take("tracking", path)
    before = stores.dump()
    file = mended(stores, "jsonl", with_values(bid="1"))
    with file.open("a") as out:
        for position in range(50_000):
            out.write(f'{{"table":"tracking","source":"s","position":{position}}}\n')
        out.write("broken\n")
    with pytest.raises(InputError, match="line 50002 is not valid JSON"):
        stores.replay(file)
    assert stores.dump() == before


def test_the_list_has_a_column_for_all_that_could_be_mended(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1, bid="-1")])
    stores.take("tracking", path)
    out = io.StringIO()
    assert write_rejected(stores.lake.rejected(), out, "csv") == 1
    header = next(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert header == [*ABOUT, *TRACKING.column_names, "unparsed"]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(["ua", "bid", "table", "row.table", "reason", "other"]),
            st.text(
                st.sampled_from("\n\r\t\",;'x\x85\u2028") | st.characters(exclude_categories=["Cs", "Cc"]), min_size=1
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_content_comes_back_as_it_was_written(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    rejected = [
        RejectedRow("tracking", "s", number, "why", row_content(row), date(2026, 1, 1), "a, b.csv")
        for number, row in enumerate(rows)
    ]
    for style in STYLES:
        path = tmp_path / f"list.{style}"
        with path.open("w", encoding="utf-8", newline="") as out:
            write_rejected(rejected, out, style)
        back = [row for batch in read_rows(look_at(path), "position") for row in row_texts(batch.table)]
        assert [row["path"] for row in back] == ["a, b.csv"] * len(rows)
        own = [{name.removeprefix("row."): value for name, value in row.items() if name not in ABOUT} for row in back]
        assert own == rows
