"""CSV that is read by the block gives what reading it line by line gives, whatever bytes it is made of."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recruitment_platform.errors import InputError
from recruitment_platform.ingest import csv_blocks, readers, records
from recruitment_platform.ingest.files import SourceFile
from recruitment_platform.ingest.readers import UNPARSED, read_tracking
from recruitment_platform.ingest.records import Lines, Malformed, csv_header, csv_records

HEADER = ("create_time", "bid", "seen", "ua")
"""One of the columns is not taken."""

Good = list[tuple[int, tuple[str | None, ...]]]
Bad = list[tuple[int, str, dict[str, str]]]


@dataclass(frozen=True)
class Sizes:
    """What bounds a block, a batch, a line and a field: small enough to be met by a file of a few rows."""

    block: int
    batch_rows: int
    longest_line: int
    longest_field: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wild")


def source_file(path: Path) -> SourceFile:
    """Of content that need not look like text."""
    return SourceFile(path, "csv", compressed=False, source="file:0", identity=(0, 0, 0, 0))


def by_blocks(path: Path, after: int) -> tuple[Good, Bad] | str:
    good: Good = []
    bad: Bad = []
    try:
        for batch in read_tracking(source_file(path), after):
            columns = [batch.table[name].to_pylist() for name in HEADER if name != "seen"]
            assert batch.received == len(columns[0]) + len(batch.bad) <= readers.BATCH_ROWS
            good += zip(batch.positions.to_pylist(), zip(*columns, strict=True), strict=True)
            bad += [(row.position, row.reason, json.loads(row.content)) for row in batch.bad]
    except InputError as error:
        return str(error).partition(": ")[2]
    return good, bad


def by_lines(path: Path, after: int) -> tuple[Good, Bad] | str:
    with source_file(path).open_text(newline="") as handle:
        lines = Lines(handle)
        try:
            header = csv_header(lines)
        except csv.Error as error:
            return f"its header is not valid CSV ({error})"
        assert tuple(header) == HEADER
        found = list(csv_records(lines, len(HEADER)))
    if not found:
        return "has a header but no rows"
    good: Good = []
    bad: Bad = []
    for position, record in found:
        if position <= after:
            continue
        if isinstance(record, Malformed):
            fields = zip(HEADER, record.fields, strict=False)
            content = {name: value for name, value in fields if value and name != "seen"}
            bad.append((position, record.reason, content | {UNPARSED: record.text}))
        else:
            good.append((position, (record[0], record[1], record[3])))
    return good, bad


def written(rows: Sequence[Sequence[str]], line_end: str, quoting: int) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=line_end, quoting=quoting).writerows(rows)
    return out.getvalue().encode(errors="surrogatepass")


LETTERS = st.sampled_from([*'ab ,"\n', "\r\n", "\r", '""', '","', "é", "\u2028", "\ufeff", "\0", "\udcff", "x" * 30])
VALUES = st.one_of(st.sampled_from(["", "a", "1.5"]), st.lists(LETTERS, max_size=6).map("".join))
WIDTHS = st.sampled_from([4, 4, 4, 4, 4, 4, 4, 1, 3, 5])
ROWS = WIDTHS.flatmap(lambda width: st.lists(VALUES, min_size=width, max_size=width))
PLAIN_ROWS = st.lists(
    st.sampled_from(["", "a", "b c", "é,", 'say ""', "two\nlines", "two\r\nlines"]), min_size=4, max_size=4
)
WILD = st.sampled_from(
    [b"a", b"b,", b",", b'"', b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"\xff", b"\xe2\x82", b"\0", b"\xef\xbb\xbf"]
)
FIELDS = st.sampled_from(
    [
        b"",
        b"a",
        b"\xe2\x82",
        b'"a"',
        b'"a,"',
        b'"a"b',
        b'b"',
        b'a"b"',
        b'""',
        b'"""',
        b'""""',
        b'"',
        b'"x\ny"',
        b'"x\r"',
    ]
)
RAW_ROWS = st.builds(
    lambda mark, fields, line_end: mark + b",".join(fields) + line_end,
    st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]),
    st.lists(FIELDS, min_size=4, max_size=4),
    st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\n\r\n"]),
)
PARTS = st.one_of(
    RAW_ROWS,
    RAW_ROWS,
    st.builds(written, st.lists(PLAIN_ROWS, max_size=8), st.sampled_from(["\n", "\r\n"]), st.just(csv.QUOTE_ALL)),
    st.builds(
        written,
        st.lists(ROWS, max_size=4),
        st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
        st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    ),
    st.lists(WILD, max_size=12).map(b"".join),
    st.just(b"a,1,2,3\n"),
)
BEGINNINGS = st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\n\r\n", b"\xef\xbb\xbf\n", b"\r"])
HEADERS = st.sampled_from(
    [
        b"create_time,bid,seen,ua\n",
        b'"create_time","bid","seen","ua"\r\n',
        b'create_time," bid\n",seen ,ua\n',
        b"create_time,bid,seen,ua\r",
    ]
)
SIZES = st.builds(
    Sizes,
    st.sampled_from([3, 7, 40, 200, 1 << 20]),
    st.sampled_from([1, 3, 50_000]),
    st.sampled_from([16 << 20] * 4 + [40, 90]),
    st.sampled_from([8 << 20] * 4 + [30, 60]),
)


def patched(sizes: Sizes) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", sizes.block)
        patch.setattr(readers, "BATCH_ROWS", sizes.batch_rows)
        patch.setattr(records, "LONGEST_LINE", sizes.longest_line)
        patch.setattr(records, "LONGEST_FIELD", sizes.longest_field)
        yield


@settings(max_examples=500, deadline=None)
@given(
    beginning=st.tuples(BEGINNINGS, HEADERS).map(b"".join),
    parts=st.lists(PARTS, max_size=8).map(b"".join),
    sizes=SIZES,
    after=st.sampled_from([0, 0, 0, 2, 5, 9]),
)
def test_wild_csv_gives_the_same_rows_positions_and_reasons_by_the_block_as_by_the_line(
    folder: Path, beginning: bytes, parts: bytes, sizes: Sizes, after: int
) -> None:
    path = folder / "a.csv"
    path.write_bytes(beginning + parts)
    for _ in patched(sizes):
        assert by_blocks(path, after) == by_lines(path, after)


PLAIN = {
    "unquoted": "a,1,?,x\nb,2,?,y\n",
    "all quoted, doubled quotes": '"a","1","","say ""hi"""\n"","2","?",""""""\n',
    "line ends in values, blank lines": 'a,1,?,"x\ny\r\n\nz"\n\n\nb,2,?,"\n"\n\n',
    "carriage returns": 'a,1,?,x\r\n\r\n"b",2,?,"y"\r\n',
    "no last line end": 'a,1,?,"x"\nb,2,?,"y"',
    "other letters": "a,1,?,é\N{GRINNING FACE}\u2028\nb,2,?,\ufeff\n",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN.keys())
def test_the_forms_that_exports_have_are_read_without_going_through_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"{','.join(HEADER)}\n{text}".encode())
    expected = by_lines(path, 0)

    def never(lines: Lines, width: int) -> Iterator[tuple[int, list[str] | Malformed]]:
        raise AssertionError(f"line {lines.number + 1} of {width} columns is read by itself")

    monkeypatch.setattr(readers, "csv_records", never)
    assert by_blocks(path, 0) == expected


def test_a_row_that_needs_judgement_takes_no_more_than_its_block_from_the_fast_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    rows = [f'{number},1,?,"x"\n' for number in range(10_000)]
    rows[3_000] = '3000,1,?,5" screen\n'
    rows[6_000] = "6000,too,few\n"
    rows[9_000] = '9000,"1,?,never closed\n'
    path.write_text(",".join(HEADER) + "\n" + "".join(rows))
    expected = by_lines(path, 0)
    judged = []

    def counted(lines: Lines, width: int) -> Iterator[tuple[int, list[str] | Malformed]]:
        for position, record in csv_records(lines, width):
            judged.append(position)
            yield position, record

    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(readers, "csv_records", counted)
    assert by_blocks(path, 0) == expected
    assert not isinstance(expected, str)
    good, bad = expected
    assert (len(good), [(position, reason) for position, reason, _ in bad]) == (
        9_998,
        [
            (6_002, "has 3 fields where the header has 4"),
            (9_002, "is not valid CSV: ',' expected after '\"'"),
        ],
    )
    assert {3_002, 6_002, 9_002} <= set(judged)
    assert len(judged) < 1_000
