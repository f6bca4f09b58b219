"""The way of Parquet files into a Redshift table: checked first, then named in a manifest that COPY reads.

What belongs here: what must hold of the files before the cluster sees them, the manifest, the COPY statement, and what
the cluster noted where it failed. What does not: the transaction around it (`warehouse`).
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.model.conformity import differences
from recruitment_platform.model.contract import Table
from recruitment_platform.model.schemas import redshift_bytes
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.resources.redshift.session import RefusedError, Session
from recruitment_platform.sql import load_sql

# What a killed load left behind goes when its table and day are loaded again, this much later.
_LEFT_BEHIND = timedelta(days=1)
# COPY could not get at the files, whatever they hold.
_NO_ACCESS = re.compile(
    r"not authorized|access ?denied|no ?such ?bucket|bucket .*not exist|forbidden|S3ServiceExc", re.I
)
_CANCELLED = "57014"


@dataclass(frozen=True)
class StagedFile:
    """A file to copy: its key in the object store, and its size there in bytes."""

    key: str
    size: int


def checked_files(store: ObjectStore, keys: Sequence[str], table: Table, what: str) -> list[StagedFile]:
    """The files, once it is certain that COPY will take them as they are meant.

    COPY goes by position and knows no names: two columns swapped would be loaded as each other. Raises
    ReconciliationError that names the file, and the column where it is one's fault: columns missing, swapped, of other
    types; a null where there must be none; a text longer in bytes than the table's column; a file that is gone, cut
    short, or not of the size that the store tells.
    """
    folders = {key[: key.rfind("/") + 1] for key in keys}
    sizes = {found.key: found.size for folder in folders for found in store.list(folder)}
    return [StagedFile(key, _checked(store, key, sizes.get(key), table, what)) for key in keys]


def _checked(store: ObjectStore, key: str, size: int | None, table: Table, what: str) -> int:
    try:
        path = store.local(key)
        if size is None:
            raise FileNotFoundError(key)
        held = path.stat().st_size
        problem = f"has {size} bytes in the store, but {held} were read" if size != held else _problem(path, table)
    except FileNotFoundError as error:
        raise ReconciliationError(f"{what}: the staged file {key} is gone; materialize the day again") from error
    except pa.ArrowInvalid as error:
        raise ReconciliationError(f"{what}: the staged file {key} is no whole Parquet file: {error}") from error
    if problem:
        raise ReconciliationError(
            f"{what}: the staged file {key} {problem}; the former rows stay in force. Materialize the day again"
        )
    return size


def _problem(path: Path, table: Table) -> str:
    """What COPY would stumble over, or take for something else; empty where nothing."""
    with pq.ParquetFile(path) as file:
        differing = differences(file.schema_arrow, table)
        if differing:
            return f"is not as the contract says: {'; '.join(differing)}"
        for batch in file.iter_batches():
            for column in table.columns:
                values = batch.column(column.name)
                if values.null_count and not column.nullable:
                    return f"has a null in column {column.name}"
                if column.type.kind == "text":
                    longest = pc.max(pc.binary_length(values.cast(pa.string()))).as_py() or 0
                    room = redshift_bytes(column.type)
                    if longest > room:
                        return f"has a value of {longest} bytes in column {column.name}, which holds {room}"
    return ""


@contextmanager
def copy_manifest(store: ObjectStore, folder: str, files: Sequence[StagedFile]) -> Iterator[str]:
    """The address of a COPY manifest of these files, of this load alone, removed at the end."""
    before = datetime.now(UTC) - _LEFT_BEHIND
    store.delete([found.key for found in store.list(folder) if found.modified < before])
    entries = [{"url": store.uri(file.key), "mandatory": True, "meta": {"content_length": file.size}} for file in files]
    key = f"{folder}{uuid4().hex}.json"
    store.put_if_absent(key, json.dumps({"entries": entries}).encode())
    try:
        yield store.uri(key)
    finally:
        store.delete([key])


def copy(session: Session, table: str, manifest: str, role: str, what: str) -> int:
    """Copies the manifest's files into the table, in the session's transaction; returns the rows it took in.

    Raises ReconciliationError with what the cluster noted where it refuses the files, StoreUnavailableError where it
    cannot get at them or is cancelled; the transaction is then undone. RefusedError of a conflict passes.
    """
    statement = load_sql("resources/redshift/sql", "copy").format(
        table=table, manifest=_quoted(manifest), role="DEFAULT" if role == "default" else f"'{_quoted(role)}'"
    )
    try:
        session.execute(statement)
    except RefusedError as error:
        if error.is_conflict:
            raise
        told = f"{what}: COPY failed: {error}"
        if error.code == _CANCELLED:
            raise StoreUnavailableError(f"{told}; nothing was changed. Try again") from None
        if _NO_ACCESS.search(told):
            raise StoreUnavailableError(
                f"{told}; nothing was changed. Check that RECRUITMENT_REDSHIFT_IAM_ROLE is a role of the cluster that "
                "may read the bucket"
            ) from None
        noted = _noted(session)
        raise ReconciliationError(f"{told}{noted}; the former rows stay in force. Materialize the day again") from None
    [[copied]] = session.run("copied_rows")
    return int(copied)


def _noted(session: Session) -> str:
    """What the cluster itself noted of the COPY that failed, ready to be added to the message; empty where nothing."""
    session.rollback()
    [[session_id]] = session.run("session_id")
    for statement in ("load_errors", "old_load_errors"):
        try:
            for file, column, message in session.run(statement, session_id=session_id):
                place = f"{file}, column {column}" if column else file
                return f" ({place}: {' '.join(message.split())})"
        except RefusedError:
            continue  # this cluster, or this user, has no such view: the other one may be there
    return ""


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")
