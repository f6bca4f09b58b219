"""What holds for every object store: objects are whole and durable, or not there."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform_tests.processes import at_once, in_background
from recruitment_platform_tests.resources.objects.stores import OPENERS, chosen, keys


@pytest.fixture(params=sorted(OPENERS))
def kind(request: pytest.FixtureRequest) -> str:
    return chosen(request)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> ObjectStore:
    return OPENERS[kind](tmp_path)


def test_an_object_is_read_back_listed_and_open_to_readers_of_files(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    assert store.put_if_absent("facts/dt=2022-07-06/000001.json", b"\x00whole")
    assert store.get("facts/dt=2022-07-06/000001.json") == b"\x00whole"
    assert store.local("facts/dt=2022-07-06/000001.json").read_bytes() == b"\x00whole"
    assert store.uri("facts/dt=2022-07-06/000001.json").endswith("facts/dt=2022-07-06/000001.json")
    [found] = store.list("facts/")
    assert (found.key, found.size) == ("facts/dt=2022-07-06/000001.json", 6)
    assert before < found.modified < datetime.now(UTC) + timedelta(seconds=2)


def test_an_object_that_exists_is_never_replaced(store: ObjectStore, tmp_path: Path) -> None:
    assert store.put_if_absent("a/b", b"first")
    assert not store.put_if_absent("a/b", b"second")
    file = tmp_path / "file"
    file.write_bytes(b"third")
    with pytest.raises(FileExistsError):
        store.put_file(file, "a/b")
    assert (store.get("a/b"), file.read_bytes()) == (b"first", b"third")
    assert keys(store) == ["a/b"]


def test_a_file_moves_to_its_key(store: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"rows")
    assert store.put_file(file, "a/b/c.parquet") == 4
    assert not file.exists()
    assert store.get("a/b/c.parquet") == b"rows"


def test_a_file_moves_from_another_device(store: ObjectStore, tmp_path: Path, another_device: Path) -> None:
    file = another_device / f"recruitment-{uuid4().hex}"
    file.write_bytes(b"rows" * 100_000)
    assert file.stat().st_dev != tmp_path.stat().st_dev
    assert store.put_file(file, "a/b/c.parquet") == 400_000
    assert not file.exists()
    assert store.get("a/b/c.parquet") == b"rows" * 100_000
    assert keys(store) == ["a/b/c.parquet"]


@pytest.fixture
def another_device(tmp_path: Path) -> Path:
    places = (Path("/dev/shm"), Path("/run"), Path("/var/tmp"), Path.home(), Path.cwd())
    own = tmp_path.stat().st_dev
    return next(
        place for place in places if place.is_dir() and os.access(place, os.W_OK) and place.stat().st_dev != own
    )


def test_a_prefix_lists_by_key_and_whole_folders_only(store: ObjectStore) -> None:
    names = ["a/b/2", "a/b/1", "a/b-c/1", "a/b.json", "ab/1", "a/c/d/e"]
    for name in names:
        store.put_if_absent(name, b"")
    assert keys(store) == sorted(names)
    assert keys(store, "a/") == sorted(name for name in names if name.startswith("a/"))
    assert keys(store, "a/b/") == ["a/b/1", "a/b/2"]
    assert keys(store, "nothing/") == keys(store, "a/b.json/") == []
    with pytest.raises(ValueError, match="slash"):
        store.list("a/b")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.hidden", "a\0b", "a\\b"])
def test_a_key_that_could_leave_the_store_is_refused(store: ObjectStore, tmp_path: Path, key: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"rows")
    actions: list[Callable[[], object]] = [
        lambda: store.put_if_absent(key, b""),
        lambda: store.put_file(file, key),
        lambda: store.get(key),
        lambda: store.local(key),
        lambda: store.delete([key]),
    ]
    for action in actions:
        with pytest.raises(ValueError, match="is no key"):
            action()
    assert keys(store) == []


@pytest.mark.parametrize("key", ["nothing", "a/nothing", "a", "a/b/c"])
def test_an_absent_object_is_file_not_found(store: ObjectStore, key: str) -> None:
    store.put_if_absent("a/b", b"")
    for read in (store.get, store.local):
        with pytest.raises(FileNotFoundError):
            read(key)


def test_deleting_leaves_the_others_and_the_store_usable(store: ObjectStore) -> None:
    for key in ("a/b/1", "a/b/2", "a/c/1"):
        store.put_if_absent(key, b"")
    store.delete(["a/b/1", "a/b/2", "a/b/3", "x/y", "a/c/1/z"])
    assert keys(store) == ["a/c/1"]
    assert store.put_if_absent("a/b/1", b"again")
    assert keys(store) == ["a/b/1", "a/c/1"]


def put_own(kind: str, folder: Path, writer: int) -> list[int]:
    store = OPENERS[kind](folder)
    return [key for key in range(40) if store.put_if_absent(f"race/{key}", json.dumps([writer] * 2000).encode())]


def test_of_many_processes_that_put_one_key_exactly_one_does(kind: str, tmp_path: Path) -> None:
    won = at_once(put_own, [(kind, tmp_path, writer) for writer in range(4)])
    assert sorted(key for own in won for key in own) == list(range(40))
    store = OPENERS[kind](tmp_path)
    for writer, own in enumerate(won):
        assert all(json.loads(store.get(f"race/{key}")) == [writer] * 2000 for key in own)
    assert len(keys(store)) == 40


def put_and_delete(kind: str, folder: Path, writer: int) -> None:
    """150 times, and then on until some have been seen."""
    store = OPENERS[kind](folder)
    for number in range(20_000):
        key = f"busy/folder/{writer}-{number}"
        assert store.put_if_absent(key, b"x" * 100)
        store.delete([key])
        if number >= 150 and store.list("seen/"):
            return


def test_a_listing_holds_what_stays_and_only_whole_objects_while_others_come_and_go(kind: str, tmp_path: Path) -> None:
    store = OPENERS[kind](tmp_path)
    for number in range(20):
        store.put_if_absent(f"busy/stays/{number:02}", b"x" * 100)
    writers = [in_background(put_and_delete, kind, tmp_path, writer) for writer in range(2)]
    listings = []
    while any(writer.is_alive() for writer in writers):
        listings.append(store.list("busy/"))
        if len(listings[-1]) > 20:
            store.put_if_absent("seen/some", b"")
    assert [writer.exitcode for writer in writers] == [0, 0]
    for listing in listings:
        names = [found.key for found in listing]
        assert [name for name in names if "stays" in name] == [f"busy/stays/{number:02}" for number in range(20)]
        assert names == sorted(set(names))
        assert all(found.size == 100 for found in listing)
    assert any(len(listing) > 20 for listing in listings)
