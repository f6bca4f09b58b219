"""What Spark's executors read by themselves, each on its machine: Parquet objects, or what a function yields.

What belongs here: Python data sources, and opening an object where it lies. What does not: what is done with the rows
(`transforms.remote_spark`). Executors load this module: they need this package, of the same version, in their Python.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recruitment_platform.addresses import S3Address
from recruitment_platform.errors import InputError, StoreUnavailableError

if TYPE_CHECKING:
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
    from pyspark.sql.types import StructType

S3_SCHEME = "s3://"

_SPARK_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.string(): "STRING",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
    pa.decimal128(18, 6): "DECIMAL(18,6)",
}

Piece = TypeVar("Piece")

_CONNECT_SECONDS = 10.0
_REQUEST_SECONDS = 60.0


@dataclass(frozen=True)
class ObjectFiles:
    """Opens objects by their addresses: `s3://…` in the bucket, any other is a path that every machine sees.

    Where `bucket` has no keys, each machine has AWS's own ways to find some: its environment, a role, a profile.
    """

    bucket: S3Address | None

    def exists(self, address: str) -> bool:
        """Whether there is such an object; StoreUnavailableError where that cannot be told."""
        files, path = self._located(address)
        try:
            return bool(files.get_file_info(path).is_file)
        except OSError as error:
            raise _unreadable(address, error) from None

    def metadata(self, address: str) -> pq.FileMetaData:
        """The footer. FileNotFoundError, InputError and StoreUnavailableError tell why it cannot be read."""
        with self._open(address) as file:
            return file.metadata

    def read(self, address: str, row_group: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of one row group, in that order. Raises as `metadata` does."""
        with self._open(address) as file:
            batches = file.iter_batches(row_groups=[row_group], columns=list(columns))
            while (batch := _next(address, batches)) is not None:
                yield batch.select(columns)

    def _open(self, address: str) -> pq.ParquetFile:
        files, path = self._located(address)
        try:
            return pq.ParquetFile(path, filesystem=files, pre_buffer=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise _unreadable(address, error) from None

    def _located(self, address: str) -> tuple[pafs.FileSystem, str]:
        if not address.startswith(S3_SCHEME):
            return pafs.LocalFileSystem(), address
        if self.bucket is None:
            raise InputError(f"{address}: no bucket is set for the profile local")
        return _bucket_files(self.bucket), address.removeprefix(S3_SCHEME)


def arrow_source(
    schema: pa.Schema, pieces: Sequence[Piece], read: Callable[[Piece], Iterator[pa.RecordBatch]]
) -> "type[DataSource]":
    """A data source that reads each piece in a task of its own, to be registered with a session.

    The batches have the schema's columns and types. `read` and the pieces travel to the executors within the pickled
    class: what is secret in them is in no option, plan or page of Spark's.
    """
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

    ddl = spark_ddl(schema)
    # Sessions of one application share the names.
    own_name = f"recruitment_{uuid4().hex}"

    class Reader(DataSourceReader):
        def partitions(self) -> "Sequence[InputPartition]":
            return [InputPartition(number) for number in range(len(pieces))]

        def read(self, partition: "InputPartition") -> Iterator[Any]:
            for batch in read(pieces[partition.value]):
                # Spark compares nullability too.
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    # Of a function, so that they are pickled by value, with what they enclose.
    class Source(DataSource):
        @classmethod
        def name(cls) -> str:
            return own_name

        def schema(self) -> str:
            return ddl

        def reader(self, schema: "StructType") -> "DataSourceReader":
            return Reader()

    return Source


def parquet_source(schema: pa.Schema, files: ObjectFiles, row_groups: Sequence[tuple[str, int]]) -> "type[DataSource]":
    """A data source of some columns of Parquet objects, a task for each (address, row group)."""
    return arrow_source(schema, row_groups, partial(_row_group, files, schema.names))


def spark_ddl(schema: pa.Schema) -> str:
    """The schema as Spark's readers take it, of the types that the platform's tables have, and structs of them."""
    return ", ".join(f"{field.name} {_spark_type(field.type)}" for field in schema)


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"STRUCT<{', '.join(f'{field.name}: {_spark_type(field.type)}' for field in kind)}>"
    return _SPARK_TYPES[kind]


def _row_group(files: ObjectFiles, columns: Sequence[str], piece: tuple[str, int]) -> Iterator[pa.RecordBatch]:
    address, row_group = piece
    try:
        yield from files.read(address, row_group, columns)
    except FileNotFoundError:
        raise InputError(f"{address} is gone") from None


@cache
def _bucket_files(bucket: S3Address) -> pafs.S3FileSystem:
    server = urlsplit(bucket.endpoint or "")
    return pafs.S3FileSystem(
        access_key=bucket.access_key,
        secret_key=bucket.secret_key and bucket.secret_key.get_secret_value(),
        region=bucket.region,
        scheme=server.scheme or "https",
        endpoint_override=server.netloc or None,
        tls_ca_file_path=bucket.tls_ca and str(Path(bucket.tls_ca)),
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
    )


def _next(address: str, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(address, error) from None


def _unreadable(address: str, error: Exception) -> Exception:
    """An error of the bucket's may hold what was asked of it, so nothing but its first line goes on."""
    reason = str(error).strip().splitlines()[0]
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(2, "no such object", address)
    if "AWS Error" in reason:
        return StoreUnavailableError(f"{address} cannot be read: {reason}")
    return InputError(f"a file it reads is damaged, materialize its table again: {address}: {reason}")
