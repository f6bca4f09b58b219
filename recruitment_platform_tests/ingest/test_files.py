"""A file that cannot be used is refused with a message of its own, before anything is read from it."""

import gzip
import hashlib
from pathlib import Path

import pytest

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.files import look_at
from recruitment_platform.ingest.readers import read_tracking

HEADER = b"create_time,bid\n"
ROW = b"9c1b1660-0191-11ed-8872-72e1f40ca1d2,1\n"
WHOLE_GZIP = gzip.compress((HEADER + ROW) * 200)

UNUSABLE = {
    "empty": ("a.csv", b"", "is empty"),
    "empty gzip": ("a.csv.gz", gzip.compress(b""), "is empty"),
    "byte order mark only": ("a.csv", b"\xef\xbb\xbf\n", "has nothing but blank lines"),
    "blank lines only": ("a.csv", b"\n\r\n \n", "has nothing but blank lines"),
    "header only": ("a.csv", HEADER, "has a header but no rows"),
    "header and blank lines": ("a.csv", HEADER + b"\n\n", "has a header but no rows"),
    "binary": ("a.csv", HEADER + b"\x00\x01\x02", "is a binary file"),
    "noise without NUL": ("a.csv", bytes(range(128, 256)) * 40, "is a binary file"),
    "binary JSON lines": ("a.jsonl", b'{"create_time":"\x00"}\n', "is a binary file"),
    "UTF-16": ("a.csv", "create_time,bid\nx,1\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "spreadsheet": ("a.csv", b"PK\x03\x04rest", "is a ZIP archive or a spreadsheet"),
    "gzip as CSV": ("a.csv", WHOLE_GZIP, r"give it the suffix \.csv\.gz"),
    "gzip as JSON lines": ("a.json", WHOLE_GZIP, r"give it the suffix \.jsonl\.gz"),
    "no gzip": ("a.csv.gz", HEADER + ROW, "is not a whole gzip file"),
    "half a gzip": ("a.csv.gz", WHOLE_GZIP[:-20], "is not a whole gzip file"),
    "Parquet as CSV": ("a.csv", b"PAR1rest", r"give it the suffix \.parquet"),
    "no Parquet": ("a.parquet", HEADER + ROW, "is not a Parquet file"),
    "half a Parquet": ("a.parquet", b"PAR1" + bytes(200), "cannot be read as parquet"),
    "JSON lines as CSV": ("a.csv", b'{"create_time":"x"}\n', r"give it the suffix \.jsonl"),
    "JSON array": ("a.json", b'[{"create_time":"x"}]', "is a JSON array; write one object a line"),
    "CSV as JSON lines": ("a.jsonl", HEADER + ROW, "none of its first 2 lines is JSON"),
    "unknown suffix": ("a.xlsx", HEADER, r"name it with one of \.csv, \.csv\.gz, \.jsonl"),
    "no suffix": ("tracking", HEADER, "its kind is not understood"),
    "no create_time": ("a.csv", b"id,bid\n1,2\n", "has no column create_time, found 'id', 'bid'"),
    "no create_time, many": ("a.csv", b"a,b,c,d,e,f,g,h,i\n" + b"1," * 8 + b"1\n", "'h', …"),
    "no create_time in JSON": ("a.jsonl", b'{"id":1}\n{"bid":2}\n', "has no column create_time, found 'bid', 'id'"),
    "semicolons": ("a.csv", b"create_time;bid\nx;1\n", "columns are separated by commas"),
    "column twice": ("a.csv", b"create_time,bid, bid\nx,1,2\n", "has the column bid twice"),
    "header never closed": ("a.csv", b'create_time,"bid\nx,1\n', "its header is not valid CSV"),
}


@pytest.mark.parametrize(("name", "content", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_file_is_refused_by_its_own_message(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as refusal:
        list(read_tracking(look_at(path)))
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["missing.csv", "missing.parquet", "missing"])
def test_a_missing_file_is_called_missing_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        look_at(tmp_path / name)


@pytest.mark.parametrize("name", ["folder", "folder.csv"])
def test_a_directory_is_called_a_directory_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="is a directory"):
        look_at(tmp_path / name)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    link = tmp_path / "endless.csv"
    link.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is not a regular file"):
        look_at(link)


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        look_at(tmp_path / ("x" * 300 + ".csv"))


def test_the_source_is_the_content_whatever_the_name_or_compression(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_bytes(HEADER + ROW)
    packed.write_bytes(gzip.compress(HEADER + ROW))
    expected = "file:" + hashlib.sha256(HEADER + ROW).hexdigest()
    assert look_at(plain).source == look_at(packed).source == expected


def test_a_file_that_changes_while_it_is_read_does_not_pass_for_its_former_content(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW)
    file = look_at(path)
    file.check_unchanged()
    with path.open("ab") as out:
        out.write(ROW)
    with pytest.raises(InputError, match="was changed while it was read"):
        file.check_unchanged()
    path.unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        file.check_unchanged()
