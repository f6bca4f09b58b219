"""COPY of Parquet from S3, as Redshift does it: by position, by a manifest, all or nothing.

What belongs here: reading the statement, the manifest and the files, and refusing what Redshift refuses of them. What
does not: how the rows get to PostgreSQL (`session`).
https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-columnar.html
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pgpq
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pfs
import pyarrow.parquet as pq

from recruitment_platform_tests.redshift_gate.process import Bucket
from recruitment_platform_tests.redshift_gate.wire import GateError

_COPY = re.compile(r"^copy\s+(?P<table>\w+)\s+from\s+'(?P<source>s3://[^']+)'(?P<options>.*)$", re.I | re.S)
_OPTIONS = frozenset(
    {"as", "default", "format", "parquet", "manifest", "iam_role", "credentials", "statupdate", "on", "off"}
    | {"fillrecord", "acceptinvchars", "explicit_ids"}
)
_ROLE = re.compile(r"\biam_role\s+(?:'([^']*)'|(default))", re.I)
_BATCH_ROWS = 65536

COLUMNS = (
    "SELECT attname, atttypid, atttypmod, attnotnull FROM pg_attribute "
    "WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
"""What the gate asks PostgreSQL of the table, in the session's own transaction."""

_ARROW: dict[int, tuple[str, pa.DataType]] = {
    21: ("SMALLINT", pa.int16()),
    23: ("INTEGER", pa.int32()),
    20: ("BIGINT", pa.int64()),
    16: ("BOOLEAN", pa.bool_()),
    700: ("REAL", pa.float32()),
    701: ("DOUBLE PRECISION", pa.float64()),
    1082: ("DATE", pa.date32()),
    1114: ("TIMESTAMP", pa.timestamp("us")),
    1043: ("CHARACTER VARYING", pa.string()),
}


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table: PostgreSQL's type by its number and modifier."""

    name: str
    oid: int
    modifier: int
    not_null: bool

    @property
    def kind(self) -> str:
        return "NUMERIC" if self.oid == 1700 else _ARROW[self.oid][0]

    @property
    def arrow(self) -> pa.DataType:
        if self.oid == 1700:
            return pa.decimal128((self.modifier - 4) >> 16, (self.modifier - 4) & 0xFFFF)
        return _ARROW[self.oid][1]

    @property
    def bytes(self) -> int | None:
        return self.modifier - 4 if self.oid == 1043 else None

    def takes(self, data_type: pa.DataType) -> bool:
        if pa.types.is_timestamp(data_type):
            return self.oid == 1114
        if pa.types.is_dictionary(data_type):
            data_type = data_type.value_type
        if pa.types.is_decimal(data_type):
            return self.oid == 1700 and data_type.scale == self.arrow.scale
        return bool(data_type == self.arrow) or (pa.types.is_large_string(data_type) and self.oid == 1043)


@dataclass(frozen=True)
class Copy:
    """A COPY statement that Redshift would begin."""

    table: str
    source: str
    role: str

    def statement(self) -> str:
        """What PostgreSQL is told instead."""
        return f"COPY {self.table} FROM STDIN (FORMAT BINARY)"

    def stream(self, bucket: Bucket, columns: list[TargetColumn]) -> Iterator[bytes]:
        """The files' rows in PostgreSQL's binary form; GateError where Redshift would not take them."""
        if self.role != bucket.role:
            raise GateError(
                "XX000", f"User arn:aws:redshift:x:1:dbuser:gate/user is not authorized to assume IAM Role {self.role}"
            )
        system = _open(bucket)
        encoder = None
        for url in _entries(system, self.source):
            for batch in _batches(system, url, columns):
                if encoder is None:
                    encoder = pgpq.ArrowToPostgresBinaryEncoder(batch.schema)
                    yield bytes(encoder.write_header())
                yield bytes(encoder.write_batch(batch))
        if encoder is None:
            encoder = pgpq.ArrowToPostgresBinaryEncoder(pa.schema([("nothing", pa.int32())]))
            yield bytes(encoder.write_header())
        yield bytes(encoder.finish())


def parse(code: str) -> Copy | None:
    """The statement where it is a COPY; GateError where it is one that Redshift refuses, or the gate does not know."""
    if not re.match(r"copy\b", code, re.I):
        return None
    match = _COPY.match(code)
    if not match:
        raise GateError("0A000", "the gate copies from S3 into whole tables only")
    options = match["options"]
    words = set(re.findall(r"[a-z_]+", re.sub(r"'[^']*'", " ", options).lower()))
    if "parquet" not in words:
        raise GateError("0A000", "the gate copies Parquet only")
    others = sorted(words - _OPTIONS)
    if others:
        raise GateError("0A000", f"{others[0].upper()} argument is not supported for PARQUET based COPY")
    role = _ROLE.search(options)
    if not role:
        raise GateError("42601", "COPY needs IAM_ROLE or CREDENTIALS")
    if "manifest" not in words:
        raise GateError("0A000", "the gate copies by a manifest only")
    return Copy(match["table"], match["source"], role[1] or role[2].lower())


def _open(bucket: Bucket) -> pfs.S3FileSystem:
    scheme, _, host = bucket.endpoint.partition("://")
    return pfs.S3FileSystem(
        access_key=bucket.access_key,
        secret_key=bucket.secret_key,
        endpoint_override=host,
        scheme=scheme,
        region=bucket.region,
    )


def _entries(system: pfs.S3FileSystem, source: str) -> list[str]:
    """The addresses in the manifest, each there and of the size that the manifest tells."""
    try:
        with system.open_input_file(source.removeprefix("s3://")) as file:
            entries: list[dict[str, Any]] = json.loads(file.read())["entries"]
    except (FileNotFoundError, OSError) as error:
        raise GateError("XX000", f"Manifest file is not found at {source}", str(error)) from error
    for entry in entries:
        url = entry["url"]
        if "content_length" not in entry.get("meta", {}):
            raise GateError("XX000", "File meta is required for columnar manifest", url)
        found = system.get_file_info(url.removeprefix("s3://"))
        if found.type == pfs.FileType.NotFound:
            raise GateError("XX000", f"The specified key does not exist: {url}")
        if found.size != entry["meta"]["content_length"]:
            raise GateError("XX000", "Spectrum Scan Error", f"content_length mismatch, File name: {url}")
    return [entry["url"] for entry in entries]


def _batches(system: pfs.S3FileSystem, url: str, columns: list[TargetColumn]) -> Iterator[pa.RecordBatch]:
    """The file's rows in the table's types, each column taken by its position."""
    try:
        file = pq.ParquetFile(system.open_input_file(url.removeprefix("s3://")))
    except pa.ArrowInvalid as error:
        raise GateError("XX000", "Spectrum Scan Error", f"File '{url}' is not a valid Parquet file: {error}") from error
    with file:
        found = file.schema_arrow
        if len(found) != len(columns):
            raise GateError(
                "XX000",
                "Spectrum Scan Error",
                f"Unmatched number of columns between table and file. Table columns: {len(columns)}, "
                f"Data columns: {len(found)}, File name: {url}",
            )
        for column, field in zip(columns, found, strict=True):
            if not column.takes(field.type):
                raise GateError(
                    "XX000",
                    "Spectrum Scan Error",
                    f"File '{url}' has an incompatible Parquet schema for column '{url}.{column.name}'. "
                    f"Column type: {column.kind}, Parquet schema: {field.type} {field.name}",
                )
        schema = pa.schema([(column.name, column.arrow) for column in columns])
        for batch in file.iter_batches(_BATCH_ROWS):
            arrays = [
                batch.column(number).cast(column.arrow, safe=False)
                if pa.types.is_timestamp(column.arrow)
                else batch.column(number).cast(column.arrow)
                for number, column in enumerate(columns)
            ]
            for column, array in zip(columns, arrays, strict=True):
                _check_values(url, column, array)
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _check_values(url: str, column: TargetColumn, values: pa.Array) -> None:
    if column.not_null and values.null_count:
        raise GateError(
            "XX000", "Spectrum Scan Error", f"Null value in column {column.name} which is NOT NULL, File name: {url}"
        )
    longest = pc.max(pc.binary_length(values)).as_py() if column.bytes is not None else None
    if longest is not None and column.bytes is not None and longest > column.bytes:
        raise GateError(
            "XX000",
            "Spectrum Scan Error",
            f"The length of the data column {column.name} is longer than the length defined in the table. "
            f"Table: {column.bytes}, Data: {longest}, File name: {url}",
        )
