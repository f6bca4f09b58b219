"""Messages carry events as they came: what is read of them is what an import reads of the same JSON lines."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from recruitment_platform.ingest import messages
from recruitment_platform.ingest.files import look_at
from recruitment_platform.ingest.messages import as_messages, read_messages
from recruitment_platform.ingest.readers import Batch, read_tracking, unparsed
from recruitment_platform.model.contract import TRACKING
from recruitment_platform_tests.ingest.event_files import event

PLAIN = b'{"create_time":"a","ua":"b"}'

LINES = {
    "texts": b'{"create_time":"a","ua":"b \\u00e9 \\ud83d\\ude00 \xc3\xa9 \\u0000 \\n\\"","bid":"1.10"}',
    "integers": b'{"create_time":"a","job_id":188,"group_id":188.0,"campaign_id":"188"}',
    "money": b'{"create_time":"a","bid":1.10}',
    "small and large numbers": b'{"create_time":"a","bid":1e-05,"ev":1e400,"cd":123456789012345678901234567890}',
    "words": b'{"create_time":"a","md":true,"ua":null,"dt":NaN}',
    "objects": b'{"create_time":"a","ed":{"jobId":188.0,"x":[1,"\xc3\xa9",null]}}',
    "a key twice": b'{"create_time":"a","ua":"b","ua":"c"}',
    "unknown keys": b'{"create_time":"a","who":"b","what":{"is":1}}',
    "a lone surrogate": b'{"create_time":"a","ua":"\\ud800"}',
    "no known key": b'{"who":"b"}',
    "nothing": b"{}",
    "white space": b'  {"create_time": "a" ,"ua":\t"b"}  ',
    "empty texts": b'{"create_time":"","ua":""}',
    "two objects": b'{"create_time":"a"}{"create_time":"b"}',
    "an object of an object": b'{"create_time":"a","ua":"{}"}',
    "half an object": b'{"create_time":"a","ua":"b}',
    "no object": b'["create_time"]',
    "a word": b"null",
    "text": b"create_time",
    "a trailing comma": b'{"create_time":"a",}',
    "a control character": b'{"create_time":"a","ua":"b\x01"}',
    "too deep": b'{"create_time":"a","ed":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


def rows(batch: Batch) -> list[dict[str, str]]:
    """The rows, each column's nulls left out."""
    return [{name: value for name, value in row.items() if value is not None} for row in batch.table.to_pylist()]


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_message_is_read_as_the_same_line_of_a_file(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(PLAIN + b"\n" + line + b"\n" + PLAIN + b"\n")
    (imported,) = read_tracking(look_at(path))
    read = read_messages("tracking", 2, [0, 1, 2], [PLAIN, line, PLAIN])
    assert rows(read) == rows(imported)
    assert read.positions.to_pylist() == imported.positions.to_pylist()
    where = " (topic tracking, partition 2, offset 1)"
    assert [(row.position, row.reason, row.content) for row in read.bad] == [
        (row.position, row.reason + where, row.content) for row in imported.bad
    ]


@pytest.mark.parametrize(
    ("value", "reason", "kept"),
    [
        (None, "has no value", ""),
        (b"", "is not valid JSON: Expecting value at character 1", ""),
        (b'{"ua":"\xff\xfe"}', "is not UTF-8", '{"ua":"\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"}'),
    ],
)
def test_what_no_file_can_hold_is_a_bad_row_with_topic_partition_and_offset(
    value: bytes | None, reason: str, kept: str
) -> None:
    read = read_messages("clicks", 7, [41, 45], [value, PLAIN])
    (bad,) = read.bad
    assert (bad.position, bad.reason) == (42, f"{reason} (topic clicks, partition 7, offset 41)")
    assert unparsed(bad) == kept
    assert read.positions.to_pylist() == [46]


def test_two_objects_in_one_message_never_make_up_for_a_missing_one() -> None:
    # In a stream of objects these would be three rows of three messages.
    values = [b'{"ua":"a"}{"ua":"b"}', b'{"ua":', b'"c"}']
    read = read_messages("tracking", 0, [0, 1, 2], values)
    assert read.positions.to_pylist() == []
    assert [row.position for row in read.bad] == [1, 2, 3]


def test_events_are_sent_as_they_came_with_the_visitor_as_key() -> None:
    texts = {name: f'{name} "\\\n\té\x00😀' for name in TRACKING.column_names}
    sent = [event(1, uid="1-a"), {**texts, "uid": ""}, event(3, job_id="", ed=None)]
    table = pa.table({name: pa.array([row.get(name) for row in sent], pa.string()) for name in TRACKING.column_names})
    made = as_messages(table)
    assert made.keys == [b"1-a", None, None]
    assert [json.loads(value) for value in made.values] == [
        {name: value for name, value in row.items() if value is not None} for row in sent
    ]
    assert messages._of_texts(made.values) is not None
    read = read_messages("tracking", 0, [0, 1, 2], made.values)
    assert read.table.equals(table.select(read.table.column_names))
