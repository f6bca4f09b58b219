"""What an import takes in and what it refuses; doing it again changes nothing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.importer import IMPORTABLE, ImportResult, import_file
from recruitment_platform.ingest.readers import UNPARSED
from recruitment_platform.model.operational import GENERIC_TABLES, OPERATIONAL_TABLES
from recruitment_platform.resources.lake.parquet import ParquetLake
from recruitment_platform_tests.ingest.event_files import event, write_csv, write_json_lines, write_parquet
from recruitment_platform_tests.ingest.stores import Stores, no_progress
from recruitment_platform_tests.ingest.test_files import UNUSABLE


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "home")


def counts(result: ImportResult) -> tuple[int, int, int, int]:
    return result.received, result.accepted, result.already_known, result.rejected


@pytest.mark.parametrize("write", [write_csv, write_json_lines, write_parquet])
def test_importing_a_file_twice_changes_nothing(stores: Stores, tmp_path: Path, write: object) -> None:
    path = tmp_path / f"a{'.csv' if write is write_csv else '.jsonl' if write is write_json_lines else '.parquet'}"
    assert callable(write)
    write(path, [event(1), event(2, bid="-1"), event(3), event(3)])
    assert counts(stores.take("tracking", path)) == (4, 3, 0, 1)
    before = stores.dump()
    again = stores.take("tracking", path)
    assert counts(again) == (4, 0, 3, 1)
    assert again.succeeded
    assert stores.dump() == before


def test_the_same_content_under_another_path_is_known_and_the_path_listed(stores: Stores, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    write_csv(first, [event(1), event(2)])
    second.write_bytes(first.read_bytes())
    source = stores.take("tracking", first).source
    events = stores.events()
    result = stores.take("tracking", second)
    assert counts(result) == (2, 0, 2, 0)
    assert result.source == source
    assert stores.state(source).paths == (str(first), str(second))
    assert stores.events() == events


def test_bad_rows_are_rejected_with_file_and_line_and_stop_no_good_ones(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1, ua="two\nlines"), event(2, job_id="x"), event(3, create_time=None), event(4)])
    with path.open("a") as out:
        out.write("only,three,fields\r\n")
    result = stores.take("tracking", path)
    assert counts(result) == (5, 2, 0, 3)
    assert result.succeeded
    rejected = list(stores.lake.rejected())
    assert [(row.table, row.source, row.path, row.position, row.reason) for row in rejected] == [
        ("tracking", result.source, str(path), 4, "job_id is not an integer"),
        ("tracking", result.source, str(path), 5, "create_time is missing"),
        ("tracking", result.source, str(path), 7, "has 3 fields where the header has 29"),
    ]
    assert json.loads(rejected[0].content) == {name: value for name, value in event(2, job_id="x").items() if value}
    assert json.loads(rejected[2].content) == {
        "create_time": "only",
        "bid": "three",
        "bn": "fields",
        UNPARSED: "only,three,fields",
    }
    assert [row["position"] for row in stores.events()] == [2, 6]
    state = stores.state(result.source)
    assert (state.received, state.accepted, state.rejected, state.last_position) == (5, 2, 3, 7)


def test_a_rejected_row_of_typed_parquet_is_kept_as_text(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"create_time": pa.array([None], pa.string()), "job_id": [7], "bid": [0.25]}), path)
    assert counts(stores.take("tracking", path)) == (1, 0, 0, 1)
    (row,) = stores.lake.rejected()
    assert (row.position, json.loads(row.content)) == (1, {"job_id": "7", "bid": "0.25"})


@pytest.mark.parametrize("table", ["tracking", "job", "search"])
def test_an_import_without_a_usable_row_has_not_succeeded_however_often_it_runs(
    stores: Stores, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("create_time,id,title\nx,y\n")
    for _ in range(2):
        result = stores.take(table, path)
        assert counts(result) == (1, 0, 0, 1)
        assert not result.succeeded
    assert [row.table for row in stores.lake.rejected()] == [table]


@pytest.mark.parametrize(("name", "content", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_file_leaves_no_trace(
    stores: Stores, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    before = stores.dump()
    with pytest.raises(InputError, match=message):
        stores.take("tracking", path)
    assert stores.dump() == before


@pytest.mark.parametrize("table", ["job", "campaign"])
def test_an_operational_file_without_id_leaves_no_trace(stores: Stores, tmp_path: Path, table: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,title\nx,y\n")
    before = stores.dump()
    with pytest.raises(InputError, match="has no column id, found 'name', 'title'"):
        stores.take(table, path)
    assert stores.dump() == before


def test_a_table_that_is_not_known_is_refused_with_all_that_are(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        stores.take("jobs", tmp_path / "a.csv")
    assert all(name in str(refusal.value) for name in ("tracking", *OPERATIONAL_TABLES, *GENERIC_TABLES))
    assert len(IMPORTABLE) == 1 + 9 + 8


def test_a_file_that_grows_while_it_is_imported_is_not_taken_for_its_former_content(
    stores: Stores, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    header, row = "create_time,job_id\n", f"{event(1)['create_time']},1\n"
    path.write_text(header + row * 50_001)

    def write_more(rows: int) -> None:
        if rows:
            with path.open("a") as out:
                out.write(row)

    with pytest.raises(InputError, match="was changed while it was read; import it again"):
        import_file(stores.settings, stores.lake, stores.relational, "tracking", path, write_more)
    (state,) = stores.lake.sources()
    assert state.received == 50_000
    assert counts(stores.take("tracking", path)) == (50_002, 50_002, 0, 0)


@dataclass(frozen=True)
class OvertakenLake(ParquetLake):
    """A lake in which another import of the file is faster by three rows, each time."""

    def append(self, source: str, *, accepted: pa.Table, after: int, **batch: Any) -> bool:
        faster = accepted.slice(0, 3)
        assert super().append(
            source,
            accepted=faster,
            rejected=[],
            after=after,
            last_position=faster["position"][-1].as_py(),
            received=faster.num_rows,
        )
        return super().append(source, accepted=accepted, after=after, **batch)


def test_an_import_that_is_overtaken_goes_on_behind_the_faster_one(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(number) for number in range(8)])
    lake = OvertakenLake(stores.lake.root, stores.lake.rules)
    result = import_file(stores.settings, lake, stores.relational, "tracking", path, no_progress)
    assert counts(result) == (8, 0, 8, 0)
    assert [row["position"] for row in stores.events()] == list(range(2, 10))


def test_progress_tells_of_every_row_known_ones_included(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1), event(2, bid="x")])
    for _ in range(2):
        told: list[int] = []
        import_file(stores.settings, stores.lake, stores.relational, "tracking", path, told.append)
        assert sum(told) == 2


JOBS = """\
id,title,budget,campaign_id,extra,create_time
1,"Cook, ""chef""\",50,7.0,x,
2,Nurse,1.25,7,x,
3,Tailor,,seven,x,
,None,,,,
5,a,b
"""


def test_operational_rows_are_stored_by_id_and_bad_ones_rejected_with_file_and_line(
    stores: Stores, tmp_path: Path
) -> None:
    path = tmp_path / "job.csv"
    path.write_text(JOBS)
    result = stores.take("job", path)
    assert counts(result) == (5, 2, 0, 3)
    assert stores.relational.counts() == {"job": 2}
    assert [(row.table, row.path, row.position, row.reason) for row in stores.lake.rejected()] == [
        ("job", str(path), 4, "campaign_id is not an integer"),
        ("job", str(path), 5, "id is missing"),
        ("job", str(path), 6, "has 3 fields where the header has 6"),
    ]
    before = stores.dump()
    assert counts(stores.take("job", path)) == (5, 0, 2, 3)
    assert stores.dump() == before
    newer = tmp_path / "newer.csv"
    newer.write_text("title,id\nHead cook,1\nNurse,9\n")
    assert counts(stores.take("job", newer)) == (2, 2, 0, 0)
    assert stores.relational.counts() == {"job": 3}


@pytest.mark.parametrize("table", GENERIC_TABLES)
def test_other_tables_are_kept_as_they_come_each_row_once(stores: Stores, tmp_path: Path, table: str) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.jsonl"
    first.write_text("when,what,id,\n,x;y,1,0\ntoday,,2,1\n,x;y,1,2\n,,,\n")
    second.write_text('{"what":"x;y","id":1}\n{"id":3}\n')
    assert counts(stores.take(table, first)) == (4, 2, 1, 1)
    before = stores.dump()
    assert counts(stores.take(table, first)) == (4, 0, 3, 1)
    assert stores.dump() == before
    assert counts(stores.take(table, second)) == (2, 1, 1, 0)
    assert stores.relational.counts() == {table: 3}
    kept = [json.loads(content) for name, _, content in stores.dump()["generic_row"] if name == table]
    assert sorted(kept, key=str) == [{"id": "1", "what": "x;y"}, {"id": "2", "when": "today"}, {"id": "3"}]
    assert [(row.position, row.reason) for row in stores.lake.rejected()] == [(5, "has no value")]
