"""What can go wrong with the embedded object store's folder publishes nothing, and is told in one line."""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform_tests.processes import at_once, in_background, limit_file_size
from recruitment_platform_tests.resources.objects.stores import keys


def test_a_folder_that_is_pruned_just_before_it_is_used_is_made_again(tmp_path: Path) -> None:
    store, pruner = FolderStore(tmp_path / "objects"), FolderStore(tmp_path / "objects")
    done = Event()

    def prune() -> None:
        while not done.is_set():
            pruner.delete(["one/two/three/nothing"])

    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(prune)
        try:
            for number in range(100):
                assert store.put_if_absent(f"one/two/three/{number}", b"")
                store.delete([f"one/two/three/{number}"])
        finally:
            done.set()
        pruning.result()
    assert keys(store) == []


def put_within(folder: Path, size: int, deadly: bool) -> tuple[str, list[str], int]:
    store = FolderStore(folder / "objects")
    store.put_if_absent("a/small", b"x")
    limit_file_size(size, deadly=deadly)
    try:
        store.put_if_absent("a/large", b"x" * 100_000)
    except StoreUnavailableError as error:
        return str(error), keys(store), len(list((folder / "objects" / "a").iterdir()))
    return "", [], 0


@pytest.mark.parametrize("room", [0, 1, 50_000, 99_999])
def test_a_full_disk_publishes_nothing(tmp_path: Path, room: int) -> None:
    [(message, found, files)] = at_once(put_within, [(tmp_path, room, False)])
    assert "cannot be written: File too large (a/large); nothing was published" in message
    assert "\n" not in message
    assert (found, files) == (["a/small"], 1)


def test_what_a_killed_writer_leaves_is_no_object_and_can_be_cleaned(tmp_path: Path) -> None:
    writer = in_background(put_within, tmp_path, 50_000, True)
    writer.join(60)
    assert writer.exitcode == -signal.SIGXFSZ
    store = FolderStore(tmp_path / "objects")
    leftovers = {path.name: path.stat().st_size for path in (tmp_path / "objects" / "a").iterdir()}
    assert sorted(leftovers.values()) == [1, 50_000]
    assert keys(store) == ["a/small"]
    assert store.clean(timedelta(hours=1)) == 0
    assert store.clean(timedelta(0)) == 1
    assert [path.name for path in (tmp_path / "objects" / "a").iterdir()] == ["small"]
    assert store.put_if_absent("a/large", b"x")


@pytest.mark.parametrize("place", ["/proc/recruitment", "a file"])
def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path, place: str) -> None:
    root = Path(place)
    if place == "a file":
        root = tmp_path / "file"
        root.write_text("a file")
    store = FolderStore(root)
    file = tmp_path / "rows"
    file.write_bytes(b"rows")
    puts: list[Callable[[], object]] = [lambda: store.put_if_absent("b", b""), lambda: store.put_file(file, "a/b")]
    for put in puts:
        with pytest.raises(StoreUnavailableError, match="cannot be written") as caught:
            put()
        assert "\n" not in str(caught.value)
        assert str(root) in str(caught.value)
    assert file.read_bytes() == b"rows"
    assert keys(store) == []
