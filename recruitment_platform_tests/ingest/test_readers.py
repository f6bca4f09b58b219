"""Rows come out of files whole and with their positions; a malformed one never takes good ones with it."""

import gzip
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import InputError
from recruitment_platform.ingest import readers
from recruitment_platform.ingest.files import look_at
from recruitment_platform.ingest.readers import (
    UNPARSED,
    Batch,
    read_rows,
    read_tracking,
    row_content,
    row_contents,
    row_texts,
)
from recruitment_platform.ingest.records import LONGEST_LINE
from recruitment_platform_tests.ingest.event_files import event, time_uuid, write_csv, write_json_lines

Good = list[tuple[int, dict[str, str]]]
Bad = list[tuple[int, str, str]]


def read(path: Path, after: int = 0) -> tuple[Good, Bad]:
    """(position, values) of good rows, and (position, reason, unparsed text) of bad ones."""
    good: Good = []
    bad: Bad = []
    for batch in read_tracking(look_at(path), after):
        good += zip(batch.positions.to_pylist(), row_texts(batch.table), strict=True)
        bad += [(row.position, row.reason, json.loads(row.content)[UNPARSED]) for row in batch.bad]
    return good, bad


def read_text(folder: Path, name: str, text: str) -> tuple[Good, Bad]:
    path = folder / name
    path.write_bytes(text.encode())
    return read(path)


CSV_FORMS = {
    "plain": ("create_time,bid,ua\na,1,x\nb,2,y\n", [(2, ("a", "1", "x")), (3, ("b", "2", "y"))]),
    "other order, index, unknown": (
        ",ua,seen,bid,create_time,Unnamed: 0\n0,x,?,1,a,0\n1,y,?,2,b,1\n",
        [(2, ("a", "1", "x")), (3, ("b", "2", "y"))],
    ),
    "byte order mark, CRLF": (
        "\ufeffcreate_time,bid,ua\r\na,1,x\r\nb,2,y\r\n",
        [(2, ("a", "1", "x")), (3, ("b", "2", "y"))],
    ),
    "CR alone": ("create_time,bid,ua\ra,1,x\rb,2,y", [(2, ("a", "1", "x")), (3, ("b", "2", "y"))]),
    "no last line end": ("create_time,bid,ua\na,1,x", [(2, ("a", "1", "x"))]),
    "blank lines": ("\ncreate_time,bid,ua\n\n\na,1,x\n\nb,2,y\n\n", [(5, ("a", "1", "x")), (7, ("b", "2", "y"))]),
    "spaces in the header": (" create_time ,bid, ua\na,1, x\n", [(2, ("a", "1", " x"))]),
    "quotes, commas, semicolons": (
        'create_time,bid,ua\na,1,"say ""hi"", Win64; x64"\nb,2,5" screen\n',
        [(2, ("a", "1", 'say "hi", Win64; x64')), (3, ("b", "2", '5" screen'))],
    ),
    "line ends in values": (
        'create_time,bid,ua\na,1,"x\ny\r\nz"\nb,"2\n",y\nc,3,z\n',
        [(2, ("a", "1", "x\ny\r\nz")), (5, ("b", "2\n", "y")), (7, ("c", "3", "z"))],
    ),
    "a whole record as a value": (
        'create_time,bid,ua\na,1,"\nb,2,y\n"\nc,3,z\n',
        [(2, ("a", "1", "\nb,2,y\n")), (5, ("c", "3", "z"))],
    ),
    "NUL far into the file": (
        "create_time,bid,ua\n" + "a,1,x\n" * 11_000 + "b,2,\0y\n",
        [*((line, ("a", "1", "x")) for line in range(2, 11_002)), (11_002, ("b", "2", "\0y"))],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CSV_FORMS.values(), ids=CSV_FORMS.keys())
def test_every_form_of_csv_gives_its_rows_and_the_lines_they_start_on(
    tmp_path: Path, text: str, expected: list[tuple[int, tuple[str, ...]]]
) -> None:
    good, bad = read_text(tmp_path, "a.csv", text)
    assert bad == []
    assert [(position, (row["create_time"], row["bid"], row["ua"])) for position, row in good] == expected


BAD_CSV = {
    "too few fields": ("a,1\nb,2,y\n", ["b"], [(2, "has 2 fields where the header has 3", "a,1")]),
    "too many fields": ("a,1,x,z\nb,2,y\n", ["b"], [(2, "has 4 fields where the header has 3", "a,1,x,z")]),
    "cut off at the end": ("a,1,x\nb,2", ["a"], [(3, "has 2 fields where the header has 3", "b,2")]),
    "text behind a quote": ('a,"1"0,x\nb,2,y\n', ["b"], [(2, "is not valid CSV: ',' expected", 'a,"1"0,x')]),
    "quote never closed": (
        'a,1,"x\nb,2,y\nc,3,z\n',
        ["b", "c"],
        [(2, "is not valid CSV: unexpected end of data", 'a,1,"x')],
    ),
    "quote closed by the next row's": (
        'a,1,"x\nb,2,"y, y"\nc,3,z\n',
        ["b", "c"],
        [(2, "is not valid CSV: ',' expected", 'a,1,"x')],
    ),
    "two stray quotes around good rows": (
        'a,"1,x\nb,2,y\nc,3,z\nd,4",x,x\ne,5,z\n',
        ["b", "c", "e"],
        [(2, "is not valid CSV: a quote is not closed", 'a,"1,x'), (5, "has 4 fields", 'd,4",x,x')],
    ),
    "line ends in a row with too many fields": (
        'a,1,"x\nx",z,z\nb,2,y\n',
        ["b"],
        [(2, "has 5 fields where the header has 3", 'a,1,"x\nx",z,z')],
    ),
    "all rows": ("a\nb\n", [], [(2, "has 1 fields", "a"), (3, "has 1 fields", "b")]),
    "a line without end": (
        "a,1,x\nb,2," + "y" * LONGEST_LINE + ",y\nc,3,z\n",
        ["a", "c"],
        [(3, "is not valid CSV: a line is longer than 16777216 characters", "b,2,yyyy")],
    ),
    "a line without end behind a stray quote": (
        'a,1,"x\nb,2,' + "y" * LONGEST_LINE + "\nc,3,z\n",
        ["c"],
        [(2, "is not valid CSV: a line is longer", 'a,1,"x'), (3, "is not valid CSV: a line is longer", "b,2,yyyy")],
    ),
}


@pytest.mark.parametrize(("text", "good_ids", "expected"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_a_malformed_csv_row_is_set_aside_with_its_text_and_stops_no_other(
    tmp_path: Path, text: str, good_ids: list[str], expected: Bad
) -> None:
    good, bad = read_text(tmp_path, "a.csv", "create_time,bid,ua\n" + text)
    assert [row["create_time"] for _, row in good] == good_ids
    assert len(bad) == len(expected)
    for (position, reason, unparsed), (line, begins, shown) in zip(bad, expected, strict=True):
        assert position == line
        assert reason.startswith(begins)
        assert unparsed.startswith(shown) if "yyyy" in shown else unparsed == shown


def test_a_row_of_too_many_fields_keeps_them_as_they_fell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("create_time,bid,ua\na,,x,z\n")
    (batch,) = read_tracking(look_at(path))
    assert json.loads(batch.bad[0].content) == {"create_time": "a", "ua": "x", UNPARSED: "a,,x,z"}


def test_a_quote_never_closed_costs_its_own_line_however_much_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [event(number, ua="plain", ed=None) for number in range(30_000)]
    write_csv(path, rows)
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace(",click,", ',"click,')
    path.write_text("".join(lines))
    good, bad = read(path)
    assert [position for position, _ in good] == list(range(3, 30_002))
    assert [position for position, _, _ in bad] == [2]


JSON_FORMS = {
    "text": ('"x"', "x"),
    "digits": ("0.10", "0.10"),
    "digits that no float holds": ("12345678901234567890.123456", "12345678901234567890.123456"),
    "exponent": ("1e-05", "1e-05"),
    "words": ("true", "true"),
    "null": ("null", None),
    "object": ('{"jobId": 188, "bid": 0.10, "a": [1.0, null, true, "é\\"\\u0000"]}', None),
    "not a number": ("NaN", "NaN"),
    "emoji": ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
    "half an emoji": ('"a\\ud83d"', "a\N{REPLACEMENT CHARACTER}"),
    "line separator": ('"a\u2028b\\r\\n"', "a\u2028b\r\n"),
}


@pytest.mark.parametrize(("literal", "expected"), JSON_FORMS.values(), ids=JSON_FORMS.keys())
def test_json_values_become_text_with_every_digit_kept(tmp_path: Path, literal: str, expected: str | None) -> None:
    if literal.startswith("{"):
        expected = '{"jobId":188,"bid":0.10,"a":[1.0,null,true,"é\\"\\u0000"]}'
    good, bad = read_text(tmp_path, "a.jsonl", f'{{"create_time": "a", "ed": {literal}}}\r\n')
    assert bad == []
    assert good == [(1, {"create_time": "a"} | ({} if expected is None else {"ed": expected}))]


BAD_JSON = {
    "cut off": ('{"create_time":"a"', "is not valid JSON: "),
    "list": ('["a"]', "is not a JSON object"),
    "word": ("a,b,c", "is not valid JSON: "),
    "too deep": ('{"create_time":' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
    "two objects": ('{"create_time":"a"}{"create_time":"b"}', "is not valid JSON: Extra data"),
    "too long": ('{"create_time":"' + "a" * LONGEST_LINE + '"}', "a line is longer than"),
}


@pytest.mark.parametrize(("line", "reason"), BAD_JSON.values(), ids=BAD_JSON.keys())
def test_a_line_that_is_no_json_object_is_set_aside_and_stops_no_other(tmp_path: Path, line: str, reason: str) -> None:
    good, bad = read_text(tmp_path, "a.ndjson", f'\n{{"create_time":"x"}}\n\n{line}\n{{"create_time":"y"}}')
    assert good == [(2, {"create_time": "x"}), (5, {"create_time": "y"})]
    assert [(position, text) for position, _, text in bad] == [(4, line[: len(bad[0][2])])]
    assert bad[0][1].startswith(reason)


def test_rows_whose_bytes_are_no_utf8_are_kept_with_replacement_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"create_time,ua\na,caf\xe9\nb,ok\n" * 1)
    assert read(path) == (
        [(2, {"create_time": "a", "ua": "caf\N{REPLACEMENT CHARACTER}"}), (3, {"create_time": "b", "ua": "ok"})],
        [],
    )


def test_parquet_keeps_types_for_the_door_and_has_texts_for_people(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    identity = uuid.UUID(time_uuid(1))
    columns = {
        "create_time": pa.array([identity.bytes], pa.binary(16)),
        "bid": pa.array([Decimal("0.100000")], pa.decimal128(18, 6)),
        "job_id": pa.array([188.0], pa.float64()),
        "ts": pa.array([datetime(2022, 7, 12, 3, 20, 41, 346000, UTC)], pa.timestamp("us", tz="UTC")),
        "custom_track": pa.array(["click"]).dictionary_encode(),
        "ed": pa.array([{"jobId": 188, "publisherId": None, "bid": Decimal("0.10")}]),
        "ua": pa.array([b"caf\xc3\xa9 \xff"], pa.binary()),
        "md": pa.array([True]),
        "seen": pa.array([1]),
    }
    pq.write_table(pa.table(columns), path)
    (batch,) = read_tracking(look_at(path))
    assert batch.table.schema.field("bid").type == pa.decimal128(18, 6)
    assert list(row_texts(batch.table)) == [
        {
            "create_time": str(identity),
            "bid": "0.100000",
            "job_id": "188",
            "ts": "2022-07-12 03:20:41.346000Z",
            "custom_track": "click",
            "ed": '{"jobId":188,"publisherId":null,"bid":0.10}',
            "ua": "café \N{REPLACEMENT CHARACTER}",
            "md": "true",
        }
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("after", [0, 1, 50_010, 60_001])
def test_reading_goes_on_behind_a_position_in_batches_of_bounded_size(tmp_path: Path, name: str, after: int) -> None:
    path = tmp_path / name
    ids = [str(number) for number in range(1, 60_001)]
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"create_time": ids}), path, row_group_size=17_000)
    else:
        lines = ids if name.startswith("a.csv") else [f'{{"create_time":{number}}}' for number in ids]
        header = ["create_time"] if name.startswith("a.csv") else []
        content = "\n".join([*header, *lines]).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    first_line = 2 if name.startswith("a.csv") else 1
    batches = list(read_tracking(look_at(path), after))
    rows = [
        (position, int(row["create_time"]))
        for batch in batches
        for position, row in zip(batch.positions.to_pylist(), row_texts(batch.table), strict=True)
    ]
    assert rows == [
        (position, position - first_line + 1) for position in range(max(after + 1, first_line), 60_000 + first_line)
    ]
    assert all(batch.received <= readers.BATCH_ROWS for batch in batches)
    assert [batch.last_position for batch in batches] == [batch.positions[-1].as_py() for batch in batches]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_batches_of_large_rows_are_short(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [event(number, ed="x" * 1_000_000) for number in range(80)]
    (write_csv if name == "a.csv" else write_json_lines)(path, rows)
    sizes = [batch.received for batch in read_tracking(look_at(path))]
    assert sum(sizes) == 80
    assert max(sizes) * 1_000_000 <= readers.BATCH_BYTES + 2_000_000


def test_what_lies_behind_a_position_is_cut_out_of_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("create_time,bid\na,1\nb\nc,3\nd\n")
    (batch,) = read_tracking(look_at(path))

    def left(after: int) -> tuple[list[int], list[int]]:
        rest: Batch = batch.after(after)
        assert rest.table.num_rows == len(rest.positions)
        return rest.positions.to_pylist(), [row.position for row in rest.bad]

    assert [left(after) for after in (0, 1, 2, 3, 4, 5)] == [
        ([2, 4], [3, 5]),
        ([2, 4], [3, 5]),
        ([4], [3, 5]),
        ([4], [5]),
        ([], [5]),
        ([], []),
    ]
    assert batch.last_position == 5


def test_what_is_kept_of_many_rows_is_what_is_kept_of_each() -> None:
    texts = ["", None, 'a "b" \\c', "\n\t\x00", "café \u2028 求", "{}"]
    for rows in (texts, [None, ""], []):
        plain = pa.array(rows, pa.string())
        numbers = pa.array(range(len(rows)), pa.int64())
        table = pa.table({"n": numbers, 'a "key"': plain, "coded": plain.dictionary_encode(), "none": plain})
        assert row_contents(table) == [row_content(values) for values in row_texts(table)]


def test_other_tables_give_every_named_column_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",id,name,Unnamed: 3\n0,1,x,?\n1,2,,?\n")
    (batch,) = read_rows(look_at(path), required="id")
    assert list(row_texts(batch.table)) == [{"id": "1", "name": "x"}, {"id": "2"}]
    with pytest.raises(InputError, match="has no column uid, found '', 'id', 'name'"):
        list(read_rows(look_at(path), required="uid"))


def test_json_rows_of_other_tables_may_have_different_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id":1,"a":{"b":[1]}}\n{"c":false,"id":2}\n{}\n')
    (batch,) = read_rows(look_at(path), required="id")
    assert list(row_texts(batch.table)) == [{"id": "1", "a": '{"b":[1]}'}, {"id": "2", "c": "false"}, {}]
