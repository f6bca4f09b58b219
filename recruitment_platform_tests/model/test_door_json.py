"""Plain JSON objects are read as JSON has them, and what is not plain is left to those who know all of JSON."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recruitment_platform.model.door_json import pieces, plain_members

KEYS = ("jobId", "publisherId")
MEMBER_KEYS = ("jobId", "publisherId", "jobid", "jobI", "jobIdd", "", "a", "ключ", 'a\\"b')
VALUES = (
    '"12"',
    '""',
    '" 12 "',
    '"a}b,{"',
    '"é"',
    '"\\u0031"',
    '"\t"',
    '"',
    "0",
    "-0",
    "-7",
    "007",
    "12",
    "-",
    "1.0",
    "1e3",
    "999999999999999999",
    "1000000000000000000",
    "null",
    "nul",
    "nulll",
    "true",
    "{}",
    '{"jobId":1}',
    "[1]",
    " 1",
    "1 ",
    "",
)


@st.composite
def near_objects(draw: st.DrawFn) -> str:
    """Texts that are objects, or nearly."""
    members = draw(st.lists(st.tuples(st.sampled_from(MEMBER_KEYS), st.sampled_from(VALUES)), max_size=4))
    separator = draw(st.sampled_from([",", ",", ",", ", ", ",,"]))
    text = "{" + separator.join(f'"{key}":{value}' for key, value in members) + "}"
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at] + draw(st.sampled_from(["", '"', "}", ",", " ", "0", ":"])) + text[at + draw(st.integers(0, 1)) :]
        )
    return text


def read(texts: list[str]) -> tuple[list[bool], list[list[str]]]:
    """(which texts are plain, the values of each key)."""
    whole = pa.array(texts, pa.large_string())
    data = np.frombuffer(b"".join(text.encode() for text in texts) or b" ", np.uint8)
    offsets = np.frombuffer(whole.buffers()[1], np.int64)[: len(texts) + 1]
    keys = np.frombuffer("".join(KEYS).encode(), np.uint8)
    is_plain, starts, ends = plain_members(data, offsets, keys, np.cumsum([0, *map(len, KEYS)]))
    values = []
    for number in range(len(KEYS)):
        octets, edges = pieces(data, starts[number], ends[number])
        values.append([bytes(octets[start:end]).decode() for start, end in pairwise(edges)])
    return is_plain.tolist(), values


@settings(deadline=None)  # the first call compiles
@given(st.lists(near_objects(), min_size=1, max_size=8))
@example(['{"jobId":"1","a":null}', "", "{}", "{", "}", "[]", '{"jobId":1,"jobId":2}', '{"a":1,}', '{"a":1}}', '{"a"}'])
def test_plain_objects_are_those_of_json_with_their_values(texts: list[str]) -> None:
    is_plain, values = read(texts)
    for row, text in enumerate(texts):
        found = [of_key[row] for of_key in values]
        if not is_plain[row] or not text:
            assert found == ["", ""]
            continue
        members = json.loads(text, object_pairs_hook=list)
        for key, value in zip(KEYS, found, strict=True):
            of_key = [said for name, said in members if name == key]
            assert len(of_key) <= 1
            assert value == ("" if of_key in ([], [None]) else str(of_key[0])), text


def test_custom_events_as_sites_send_them_are_plain() -> None:
    texts = [
        '{"customEvent":"click","jobId":"188","publisherId":"4","userId":2108}',
        '{"customEvent":"alive","jobId":188,"publisherId":4,"stayed_alive":30}',
        '{"customEvent":"click","jobId":null,"publisherId":"4,1,2,3,5"}',
        '{"customevent":"detail","jobid":5}',
        "",
    ]
    assert read(texts) == ([True] * 5, [["188", "188", "", "", ""], ["4", "4", "4,1,2,3,5", "", ""]])


def test_what_is_more_than_plain_is_left_to_others() -> None:
    texts = [
        '{"a":{"jobId":1}}',
        '{"a":[1]}',
        '{ "jobId":1}',
        '{"jobId":1.0}',
        '{"jobId":-0}',
        '{"jobId":01}',
        '{"jobId":true}',
        '{"jobId":"\\u0031"}',
        '{"jobId":"é"}',
        '{"jobId":1,"jobId":2}',
        '{"jobId":1000000000000000000}',
        '{"jobId":1',
        "null",
        " ",
    ]
    assert read(texts)[0] == [False] * len(texts)
