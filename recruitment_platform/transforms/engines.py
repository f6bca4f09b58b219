"""The engines that run a transform: Parquet in, Parquet of each day out.

What belongs here: running one SQL file over files on this machine's Spark or on DuckDB, with the same rows and types;
that Spark's settings. What does not: Spark on other machines (`transforms.remote_spark`), which files are in force and
what is published (`pipeline`), the rules (the SQL files).
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Protocol, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.model.contract import DIM_JOBS, HOURLY_FACTS, RAW_TRACKING, Table
from recruitment_platform.model.schemas import arrow_schema, arrow_type, spark_schema
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.sql import connect_duckdb, load_sql
from recruitment_platform.transforms.java import SHARED_CLASSES, keep_classes, prepare_java

if TYPE_CHECKING:
    from py4j.protocol import Py4JJavaError
    from pyspark.sql import DataFrame, SparkSession

# sqlglot's `spark` is Spark without ANSI mode, where CAST makes null of what does not fit; `databricks` is with it.
SPARK_DIALECT = "databricks"
"""sqlglot's name of the dialect in which the transforms are written."""

DAY_COLUMN = "dt"
"""A transform's last column, a date: its rows are written to the folder of that day, without this column."""


@dataclass(frozen=True)
class Transform:
    """One SQL file of this package: the views it reads, the table whose columns it gives, its named parameters."""

    name: str
    inputs: tuple[Table, ...]
    output: Table
    parameters: frozenset[str]

    @property
    def sql(self) -> str:
        """The Spark SQL text."""
        return load_sql("transforms", self.name)

    @property
    def duckdb_sql(self) -> str:
        """The same in DuckDB's SQL, as `transforms.transpile` makes it; `:name` is `$name`."""
        return load_sql("transforms", f"{self.name}.duckdb")


TRANSFORMS = {
    transform.name: transform
    for transform in (Transform("job_hourly_events", (RAW_TRACKING, DIM_JOBS), HOURLY_FACTS, frozenset({"sources"})),)
}
"""The transforms that engines run, by name."""


Inputs = Mapping[str, Sequence[Path | str]]
"""Each view's Parquet files, as `Engine.input` gives them: none is a view without rows."""


class Engine(Protocol):
    """Runs transforms. Whatever engine runs one, its rows, types and hence digests are the same."""

    name: str

    def input(self, store: ObjectStore, key: str) -> Path | str:
        """The object as this engine reads it: a file of this machine, or its address where others read it.

        FileNotFoundError where there is none; where others read it, that may be told by `run` alone, as InputError.
        """
        ...

    def run(self, transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path) -> None:
        """Writes the transform's rows to `out/dt=YYYY-MM-DD/*.parquet`, sorted by its key, normally one file a day.

        `out` must not exist or be empty; a day without rows gets no folder. Raises InputError where a file cannot be
        read or a sum does not fit its type, StoreUnavailableError where the engine cannot start or dies, or there is no
        room left.
        """
        ...

    def begin(self) -> None:
        """Begins to start what `run` needs, beside what this process does meanwhile; `run` tells what went wrong."""
        ...

    def stop(self) -> None:
        """Frees what the engine holds; a later `run` takes it anew."""
        ...


class DuckDBEngine:
    """Runs transforms within this process, by their texts in DuckDB's SQL."""

    name = "duckdb"

    def input(self, store: ObjectStore, key: str) -> Path:
        """The object's file on this machine."""
        return store.local(key)

    def run(self, transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path) -> None:
        """See `Engine.run`."""
        known = checked(transform, inputs, parameters, out, _schema)
        with (
            _failures_of_duckdb(known),
            TemporaryDirectory(prefix=".spill-", dir=out) as spill,
            connect_duckdb(config={"temp_directory": spill}) as connection,
        ):
            duckdb_result(connection, known, inputs, parameters).create("result")
            result = connection.table("result")
            for (day,) in result.select(DAY_COLUMN).distinct().order(DAY_COLUMN).fetchall():
                folder = day_folder(out, day)
                folder.mkdir()
                of_day = result.filter(duckdb.ColumnExpression(DAY_COLUMN) == duckdb.ConstantExpression(day))
                ordered = of_day.sort(*(duckdb.ColumnExpression(name) for name in known.output.key))
                ordered.select(duckdb.StarExpression(exclude=[DAY_COLUMN])).write_parquet(
                    str(folder / "part-0.parquet"), compression="zstd"
                )

    def begin(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """Nothing is held between runs."""


class SparkEngine:
    """Runs transforms on the Spark session that `session_factory` gives, asked for at `begin` or the first run."""

    name = "spark"

    def __init__(self, session_factory: Callable[[], "SparkSession"]) -> None:
        self._session_factory = session_factory
        self._session: SparkSession | None = None
        self._begun: Future[SparkSession] | None = None
        self._warming: Future[None] | None = None
        self._has_run = False
        self._lock = threading.Lock()

    def input(self, store: ObjectStore, key: str) -> Path:
        """The object's file on this machine."""
        return store.local(key)

    def run(self, transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path) -> None:
        """See `Engine.run`."""
        known = checked(transform, inputs, parameters, out, _schema)
        with _failures_of_spark(known):
            # A session of its own within the one Spark application: views of runs side by side do not meet.
            session = self._started().newSession()
            # Not written by Spark: placing the facts by day, sorting and writing them are a job of its own each, whose
            # code is new to a Java that just began. Here they take a tenth of that.
            rows = spark_result(session, known, inputs, parameters).toArrow()
        for day in sorted(pc.unique(rows[DAY_COLUMN]).to_pylist()):
            of_day = rows.filter(pc.field(DAY_COLUMN) == pa.scalar(day, pa.date32()))
            write_day(of_day.drop_columns(DAY_COLUMN), known, day, out)
        self._has_run = True

    def begin(self) -> None:
        """Has another thread start Spark, which takes seconds, few of them this process's own."""
        with self._lock:
            if self._session is None and self._begun is None:
                self._begun = _in_thread(self._start)

    def stop(self) -> None:
        """Ends the Spark application; its Java process ends with this one."""
        with self._lock:
            session, self._session = self._session, None
            begun, self._begun = self._begun, None
        if begun is not None and begun.exception() is None:
            session = begun.result()
        if session is not None:
            if self._warming is not None:
                wait([self._warming])
            session.stop()
            if self._has_run:
                keep_classes(session)

    def _started(self) -> "SparkSession":
        with self._lock:
            if self._session is None:
                begun, self._begun = self._begun, None
                self._session = self._start() if begun is None else begun.result()
            return self._session

    def _start(self) -> "SparkSession":
        from pyspark.logger import PySparkLogger

        prepare_java()
        session = self._session_factory()
        # It would print a failed query's stack trace on stderr, beside the exception that tells it.
        PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
        # What goes wrong with it is told by the first real query, which fails of the same.
        self._warming = _in_thread(lambda: _meet_classes(session))
        return session


Result = TypeVar("Result")


def _in_thread(work: Callable[[], Result]) -> Future[Result]:
    thread = ThreadPoolExecutor(1, "spark-start")
    begun = thread.submit(work)
    thread.shutdown(wait=False)
    return begun


def _meet_classes(session: "SparkSession") -> None:
    """A tiny query, so that Java meets on an idle core what any query needs, while the first real one is made ready."""
    session.newSession().range(1).groupBy("id").count().toArrow()


RESULT_SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
}
"""Spark's settings that decide what a transform computes, wherever it runs."""


def spark_config(*, memory: str, scratch: Path, cores: int | None = None) -> dict[str, str]:
    """Settings of a Spark on this machine, for `local_spark_session` or Dagster's LazyPySparkResource.

    `memory` is that of its one Java process, as `2g`; `scratch` a folder for all that Spark writes beside its results
    (it makes it); `cores` all of the machine's by default. The results depend on the settings of `spark.sql`.
    """
    return driver_config(memory=memory, scratch=scratch) | {
        "spark.master": f"local[{cores or '*'}]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.hadoop.fs.defaultFS": "file:///",
        "spark.sql.shuffle.partitions": "4",
        # As many pieces as cores: a third would leave all but one idle while it is read.
        "spark.sql.files.maxPartitionBytes": "1g",
        # Of the 32 MB that Spark would take at once for a task's groups most stays empty, and is cleared and collected.
        "spark.buffer.pageSize": "4m",
        # Files are listed here: a Spark job to list a year of local files costs more than it saves.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        # A dimension's first version reaches back to times for which Spark would else ask which calendar was meant.
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    }


def driver_config(*, memory: str, scratch: Path) -> dict[str, str]:
    """Settings of a driver in this process, wherever its executors are; the arguments as of `spark_config`."""
    folder = scratch.absolute()
    log4j = files("recruitment_platform").joinpath("transforms", "log4j2.properties")
    java_options = (
        "-XX:+UseSerialGC",  # a quarter less time and memory than G1 on a few cores
        "-XX:TieredStopAtLevel=1",  # the second compiler never earns back its time: a week took 24 s of CPU, now 15
        "-XX:MetaspaceSize=200m",  # Spark's classes take that: when they outgrow it, all of the heap is looked at
        "-XX:+ExitOnOutOfMemoryError",  # a clear end, not a Java that limps on
        "-XX:-UsePerfData",
        SHARED_CLASSES,
        f'"-Djava.io.tmpdir={gettempdir()}"',
        f'"-Dlog4j2.configurationFile={log4j}"',
    )
    return {
        "spark.app.name": "recruitment_platform",
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": " ".join(java_options),
        "spark.local.dir": str(folder),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.adaptive.enabled": "true",
        # What comes here goes through to Python, some days or some of the lake's partitions at a time.
        "spark.driver.maxResultSize": "0",
        **RESULT_SETTINGS,
    }


def local_spark_session(config: Mapping[str, str]) -> "SparkSession":
    """Starts Spark in a Java process of this one, by `spark_config`'s settings; StoreUnavailableError without Java."""
    from pyspark.sql import SparkSession

    prepare_java()
    builder = SparkSession.builder
    for name, value in config.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def checked(
    transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path, schema: Callable[[Path | str], pa.Schema]
) -> Transform:
    """The transform, once it is sure that it gets what it takes, and that `out` is an empty folder.

    `schema` tells a file's by its footer: Spark would take a column that is not there for null, and count nothing.
    """
    known = TRANSFORMS[transform]
    expected = {table.name for table in known.inputs}
    if set(inputs) != expected or set(parameters) != known.parameters:
        raise ValueError(
            f"{transform} takes the inputs {sorted(expected)} and the parameters {sorted(known.parameters)}, "
            f"not {sorted(inputs)} and {sorted(parameters)}"
        )
    for table in known.inputs:
        for path in inputs[table.name]:
            _check_schema(table, path, schema)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailableError(f"{transform}: cannot write to {out}: {error.strerror}") from error
    if any(out.iterdir()):
        raise FileExistsError(f"{transform}: {out} is not empty")
    return known


def _schema(path: Path | str) -> pa.Schema:
    return pq.read_schema(path)


def _check_schema(table: Table, path: Path | str, schema: Callable[[Path | str], pa.Schema]) -> None:
    try:
        found = schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{table.name}: {path} cannot be read: {first_line(str(error))}") from error
    types = dict(zip(found.names, found.types, strict=True))
    for field in arrow_schema(table):
        if types.get(field.name) != field.type:
            raise InputError(
                f"{table.name}: {path} has {types.get(field.name, 'nothing')} as {field.name}, not {field.type}; "
                f"materialize {table.name} again"
            )


def duckdb_result(
    connection: duckdb.DuckDBPyConnection, transform: Transform, inputs: Inputs, parameters: Mapping[str, str]
) -> duckdb.DuckDBPyRelation:
    """The rows, to be computed, of the transform over the files."""
    for table in transform.inputs:
        if paths := inputs[table.name]:
            # Left as they are: DuckDB takes an existing file's name as it is, wildcards in it or not.
            connection.read_parquet([str(path) for path in paths], hive_partitioning=False).create_view(table.name)
        else:
            connection.register(table.name, arrow_schema(table).empty_table())
    return connection.sql(transform.duckdb_sql, params=dict(parameters))


def spark_result(
    session: "SparkSession", transform: Transform, inputs: Inputs, parameters: Mapping[str, str]
) -> "DataFrame":
    """The rows, to be computed, of the transform over the files, in no order."""
    for table in transform.inputs:
        _spark_input(session, table, inputs[table.name]).createOrReplaceTempView(table.name)
    return session.sql(transform.sql, args=dict(parameters))


def write_day(rows: pa.Table, transform: Transform, day: date, out: Path) -> None:
    """Writes the day's rows, as Spark gave them but without their day, to its folder: sorted, in the output's types.

    StoreUnavailableError where they cannot be written.
    """
    schema = pa.schema((column.name, arrow_type(column.type)) for column in transform.output.columns)
    ordered = rows.cast(schema).sort_by([(name, "ascending") for name in transform.output.key])
    folder = day_folder(out, day)
    try:
        folder.mkdir()
        pq.write_table(ordered, folder / "part-0.parquet", compression="zstd")
    except OSError as error:
        raise StoreUnavailableError(
            f"{transform.name}: cannot write to {folder}: {first_line(str(error))}. Make room and run again"
        ) from error


def day_folder(out: Path, day: object) -> Path:
    """Where the day's rows are written."""
    return out / f"{DAY_COLUMN}={day}"


def _spark_input(session: "SparkSession", table: Table, paths: Sequence[Path | str]) -> "DataFrame":
    schema = spark_schema(table)
    if not paths:
        return session.createDataFrame([], schema)
    # Paths are patterns to the reader, so what is special in a pattern is escaped.
    patterns = [re.sub(r"([{}\[\]*?\\])", r"\\\1", _hadoop_path(Path(path))) for path in paths]
    return session.read.schema(schema).parquet(*patterns)


def _hadoop_path(path: Path) -> str:
    # Not Path.as_uri(): Hadoop takes %20 for what it says.
    return f"file://{path.absolute()}"


@contextmanager
def _failures_of_duckdb(transform: Transform) -> Iterator[None]:
    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise too_large(transform) from error
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StoreUnavailableError(f"{transform.name}: DuckDB could not go on: {first_line(str(error))}") from error
    except duckdb.Error as error:
        # Bytes that are no Parquet page are told as an error of no type at all.
        if type(error) not in (duckdb.Error, duckdb.InvalidInputException):
            raise
        raise damaged(transform, str(error)) from error


@contextmanager
def _failures_of_spark(transform: Transform) -> Iterator[None]:
    """Turns what data, settings and machines can cause into the platform's errors; Spark's own stays chained."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import ArithmeticException, PySparkRuntimeError

    root = logging.getLogger()
    root.addFilter(_is_not_py4j)
    try:
        yield
    except ArithmeticException as error:
        raise too_large(transform) from error
    except Py4JJavaError as error:
        reason = _reason(error)
        if "FAILED_READ_FILE" in reason:
            raise damaged(transform, reason) from error
        remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in str(error)), "")
        raise StoreUnavailableError(f"{transform.name}: Spark could not go on: {reason}{remedy}") from error
    except PySparkRuntimeError as error:
        reason = first_line(str(error))
        raise StoreUnavailableError(f"{transform.name}: Spark could not start: {reason}{_MEMORY_REMEDY}") from error
    except (Py4JError, ConnectionError) as error:
        raise StoreUnavailableError(
            f"{transform.name}: Spark's Java process has ended: it was killed, ran out of memory, or could not write "
            f"to its scratch folder{_MEMORY_REMEDY}"
        ) from error
    finally:
        root.removeFilter(_is_not_py4j)


def _reason(error: "Py4JJavaError") -> str:
    """What Java says first, past the thread that sends the rows here, which waited for them in vain."""
    raised = error.java_exception
    while "awaitResult" in first_line(str(raised)) and (cause := raised.getCause()) is not None:
        raised = cause
    return first_line(str(raised))


def _is_not_py4j(record: logging.LogRecord) -> bool:
    # When Java dies, py4j writes a stack trace to the root logger, beside the exception that tells it.
    return record.msg != "Exception while sending command."


_MEMORY_REMEDY = ". RECRUITMENT_SPARK_MEMORY sets its memory, 500m or more"
_REMEDIES = {
    "OutOfMemoryError": _MEMORY_REMEDY,
    "INVALID_DRIVER_MEMORY": _MEMORY_REMEDY,
    "No space left on device": ". The disk is full: make room and run again",
}


def too_large(transform: Transform) -> InputError:
    """What is raised where a sum does not fit its type."""
    return InputError(
        f"{transform.name}: the bids of one row's clicks sum up to more than its spend can hold; look for absurd bids "
        f"in {transform.inputs[0].name}"
    )


def damaged(transform: Transform, reason: str) -> InputError:
    """What is raised where a file's content cannot be read."""
    return InputError(f"{transform.name}: a file it reads is damaged, materialize its table again: {reason}")


def first_line(error: str) -> str:
    """What an error of another library says, without its stack trace."""
    return error.strip().splitlines()[0].rstrip(".")
