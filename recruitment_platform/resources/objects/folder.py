"""The embedded object store: a folder.

What belongs here: objects as files that appear whole and durable or not at all. What does not: what the objects hold
(`pipeline.manifests` numbers the manifests, `pipeline.snapshot` and `transforms` write the Parquet).
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.protocols import StoredObject

# Temporary files lie beside their final name, so that a link can reach it; a leading dot, which no key may have, hides
# them from `list`.
_TEMPORARY = ".writing-"


class FolderStore:
    """Implements `ObjectStore` in a folder, for any number of processes at once.

    Keys are relative paths with slashes; ValueError where a part is empty or starts with a dot. The folder must lie on
    a file system with hard links: a link is the one operation that creates a name only where it is absent.
    """

    def __init__(self, root: Path) -> None:
        """The folder is made at the first write."""
        self.root = root.absolute()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates the object whole and durable; False, changing nothing, where the key exists.

        Raises StoreUnavailableError where the folder is full or not writable: then no object appears.
        """
        path = self._path(key)
        with self._writing(key), _temporary_beside(path) as temporary:
            _in_folder(path.parent, lambda: _write(temporary, data))
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            self._sync_folders(path)
        return True

    def put_file(self, path: Path, key: str) -> int:
        """Moves a local file to a new key, durable on return; returns its size in bytes.

        Raises FileExistsError where the key exists (objects are immutable), StoreUnavailableError where the folder is
        full or not writable; in both cases the local file stays as it was.
        """
        final = self._path(key)
        size = path.stat().st_size
        with self._writing(key):
            _sync(path)
            try:
                _in_folder(final.parent, lambda: os.link(path, final))
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                with _temporary_beside(final) as temporary:
                    _in_folder(final.parent, lambda: shutil.copyfile(path, temporary))
                    _sync(temporary)
                    os.link(temporary, final)
            self._sync_folders(final)
            path.unlink()
        return size

    def get(self, key: str) -> bytes:
        """The object's content; FileNotFoundError where there is none."""
        path = self.local(key)
        with self._reading(key):
            return path.read_bytes()

    def list(self, prefix: str) -> list[StoredObject]:
        """Objects whose key starts with the prefix (empty, or ending with a slash), by key.

        Each object that exists throughout the call is in it, however many others come and go meanwhile.
        """
        if prefix and not prefix.endswith("/"):
            raise ValueError(f"prefix {prefix!r} does not end with a slash")
        folder = self._path(prefix[:-1]) if prefix else self.root
        with self._reading(prefix or "all objects"):
            return sorted(self._walk(folder, prefix), key=lambda found: found.key)

    def local(self, key: str) -> Path:
        """The object's own file, to be read only; FileNotFoundError where there is none."""
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "no such object", key)
        return path

    def uri(self, key: str) -> str:
        """The path of the object's file."""
        return str(self._path(key))

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects, and folders that become empty; objects that are absent are no error."""
        for key in keys:
            path = self._path(key)
            with self._writing(key):
                with suppress(FileNotFoundError, NotADirectoryError):
                    path.unlink()
                self._prune(path.parent)

    def clean(self, older_than: timedelta) -> int:
        """Removes what killed writers left behind: temporary files of at least that age; returns how many."""
        before = datetime.now(UTC).timestamp() - older_than.total_seconds()
        removed = 0
        for path in self.root.rglob(f"{_TEMPORARY}*"):
            with self._writing(path.name), suppress(FileNotFoundError):
                if path.stat().st_mtime <= before:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.root.joinpath(*key.split("/"))

    def _walk(self, folder: Path, prefix: str) -> Iterator[StoredObject]:
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._walk(folder / entry.name, f"{prefix}{entry.name}/")
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat()
                yield StoredObject(prefix + entry.name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    def _prune(self, folder: Path) -> None:
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or another process was faster
            folder = folder.parent

    def _sync_folders(self, path: Path) -> None:
        # A new name is durable once its folder is; that folder may itself be new, and so on up to the root's parent.
        for folder in path.parents:
            _sync(folder)
            if folder == self.root.parent:
                return

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise StoreUnavailableError(
                f"the object store {self.root} cannot be written: {error.strerror or error} ({key}); nothing was "
                "published. Make room or make it writable, then try again"
            ) from error

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreUnavailableError(
                f"the object store {self.root} cannot be read: {error.strerror or error} ({key})"
            ) from error


def check_key(key: str) -> None:
    """ValueError unless the key is one that every object store takes."""
    if "\0" in key or "\\" in key or any(not part or part.startswith(".") for part in key.split("/")):
        raise ValueError(f"{key!r} is no key: parts between slashes must not be empty nor start with a dot")


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A temporary name beside the final one; its file is removed at the end whatever happens."""
    temporary = path.with_name(f"{_TEMPORARY}{uuid4().hex}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _in_folder(folder: Path, create: Callable[[], object]) -> None:
    """Makes the folder and a file in it: another process that prunes empty folders may come between the two."""
    for attempt in range(100):
        with suppress(FileNotFoundError) if attempt < 99 else nullcontext():
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError as error:
                # Python looks again at what exists: a folder that was pruned between the two is no folder to it.
                if attempt < 99 and not folder.is_file():
                    continue
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
            create()
            return


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
