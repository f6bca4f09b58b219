"""The engine of a Spark on other machines: a cluster by its master URL, or whatever is behind Spark Connect.

Its executors read the objects where they lie, and what they compute comes back as Arrow: the disks of this machine and
of theirs have nothing to do with each other. What belongs here: running the transforms there, that Spark's settings.
What does not: what the executors run (`transforms.spark_sources`), what went wrong there (`transforms.spark_errors`).
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.addresses import SparkAddress
from recruitment_platform.errors import SettingsError, StoreUnavailableError
from recruitment_platform.model.contract import Table
from recruitment_platform.model.schemas import arrow_type
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.transforms.engines import (
    DAY_COLUMN,
    RESULT_SETTINGS,
    Inputs,
    Transform,
    checked,
    driver_config,
    first_line,
    too_large,
    write_day,
)
from recruitment_platform.transforms.java import prepare_java
from recruitment_platform.transforms.lineage import columns_read
from recruitment_platform.transforms.spark_errors import failures_of_remote_spark, place_of, require_listener
from recruitment_platform.transforms.spark_sources import ObjectFiles, arrow_source, parquet_source, spark_ddl

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.datasource import DataSource

Piece = TypeVar("Piece")

_LOOK_SECONDS = 0.5
# The waits between tries add up to 17 s, where Spark's own would to ten minutes: a server that has ended has forgotten
# its sessions, so longer waits only help against a network that comes back.
_CONNECT_RETRIES = 5


class RemoteSparkEngine:
    """Runs transforms on the Spark at an address, through the session that `session_factory` gives at the first run."""

    name = "spark"

    def __init__(
        self, session_factory: Callable[[], "SparkSession"], address: SparkAddress, files: ObjectFiles
    ) -> None:
        self._session_factory = session_factory
        self._address = address
        self._files = files
        self._session: SparkSession | None = None
        self._lock = threading.Lock()

    def input(self, store: ObjectStore, key: str) -> str:
        """The object's address, as the executors read it; FileNotFoundError where there is none."""
        address = store.uri(key)
        if not self._files.exists(address):
            raise FileNotFoundError(2, "no such object", address)
        return address

    def run(self, transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path) -> None:
        """See `Engine.run`."""
        footers: dict[str, pq.FileMetaData] = {}

        def schema(file: Path | str) -> pa.Schema:
            footers[str(file)] = self._files.metadata(str(file))
            return footers[str(file)].schema.to_arrow_schema()

        known = checked(transform, inputs, parameters, out, schema)
        from pyspark.errors import ArithmeticException

        try:
            with self._running(transform) as session:
                for table in known.inputs:
                    row_groups = [
                        (str(file), number)
                        for file in inputs[table.name]
                        for number in range(footers[str(file)].num_row_groups)
                    ]
                    _view(session, known, table, self._files, row_groups)
                # Kept by the executors while it is fetched, a day at a time: this machine holds no more than that.
                result = session.sql(known.sql, args=dict(parameters)).persist()
                try:
                    for day in sorted(result.select(DAY_COLUMN).distinct().toArrow()[DAY_COLUMN].to_pylist()):
                        of_day = result.where(result[DAY_COLUMN].eqNullSafe(day)).drop(DAY_COLUMN)
                        write_day(of_day.toArrow(), known, day, out)
                finally:
                    result.unpersist()
        except ArithmeticException as error:
            raise too_large(known) from error

    def gather(
        self, what: str, schema: pa.Schema, pieces: Sequence[Piece], read: Callable[[Piece], Iterator[pa.RecordBatch]]
    ) -> pa.Table:
        """What `read` yields of the pieces, each read by some executor, in no order; errors as of `run`.

        All of it can be pickled; the schema's types are those of the platform's tables, and structs of them.
        """
        with self._running(what) as session:
            return _rows(session, arrow_source(schema, pieces, read)).toArrow()

    @contextmanager
    def _running(self, what: str) -> Iterator["SparkSession"]:
        """A session of its own within the one Spark application. What fails in it is told as the platform's errors."""
        with failures_of_remote_spark(self._address, what):
            base = self._started()
            session = base.newSession() if self._address.remote is None else self._another(base)
            try:
                self._set(session)
                with _interrupted_when_idle(session, self._address, what):
                    yield session
            finally:
                if self._address.remote is not None:
                    _leave(session)

    def begin(self) -> None:
        """Nothing is begun: a cluster's executors are not kept waiting."""

    def stop(self) -> None:
        """Ends the Spark application, or the session behind Spark Connect."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None and self._address.remote is not None:
            _leave(session)
        elif session is not None:
            session.stop()

    def _another(self, base: "SparkSession") -> "SparkSession":
        # Not cloneSession, whose sessions cannot be stopped as of Spark 4.2.1.
        session: SparkSession = type(base).builder.remote(str(self._address.remote)).create()
        _bound_retries(session)
        return session

    def _started(self) -> "SparkSession":
        with self._lock:
            if self._session is None:
                require_listener(self._address)
                from pyspark.logger import PySparkLogger

                if self._address.remote is None:
                    prepare_java(alone=False)
                self._session = self._session_factory()
                # It would print a failed query's stack trace on stderr, beside the exception that tells it.
                PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
                if self._address.remote is not None:
                    _prepare_connect(self._session, self._address)
            return self._session

    def _set(self, session: "SparkSession") -> None:
        from pyspark.errors import PySparkException

        for name, value in RESULT_SETTINGS.items():
            try:
                session.conf.set(name, value)
            except PySparkException as error:
                if error.getCondition() is None:
                    raise  # no answer of Spark's: the server is away
                raise SettingsError(
                    f"{place_of(self._address)} does not let a session set {name}={value}, without which its results "
                    f"would be others: {first_line(str(error))}"
                ) from error


def cluster_config(address: SparkAddress, scratch: Path) -> dict[str, str]:
    """Settings of an application on the cluster whose master the address names, its driver in this process.

    `scratch` is a folder of this machine for what the driver writes (it makes it). All else is left to the cluster's
    administrators: Spark reads their `spark-defaults.conf` where SPARK_CONF_DIR says.
    """
    return driver_config(memory=address.memory, scratch=scratch) | {
        "spark.master": address.master,
        "spark.executor.memory": address.executor_memory,
        "spark.executor.extraJavaOptions": "-XX:+ExitOnOutOfMemoryError",
        # Python beside Java in an executor: its decoders and Arrow's batches.
        "spark.executor.memoryOverheadFactor": "0.25",
    }


def connect_config(address: SparkAddress) -> dict[str, str]:
    """What leads to the address's Spark Connect server; the application there is its administrators' own."""
    return {"spark.remote": str(address.remote)}


def remote_session(config: Mapping[str, str]) -> "SparkSession":
    """The session of this process, by `cluster_config`'s or `connect_config`'s settings."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in config.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _prepare_connect(session: "SparkSession", address: SparkAddress) -> None:
    import pyspark

    _bound_retries(session)
    served, own = session.version, pyspark.__version__
    if served.split(".")[:2] != own.split(".")[:2]:
        raise SettingsError(
            f"{place_of(address)} is Spark {served}, and this platform's is {own}: its functions run on both sides, so "
            "both must be the same"
        )


def _leave(session: "SparkSession") -> None:
    # A server that is away has no session to be released.
    session.client.set_retry_policies([])
    session.stop()


def _bound_retries(session: "SparkSession") -> None:
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session.client.set_retry_policies([DefaultPolicy(max_retries=_CONNECT_RETRIES)])


def _view(
    session: "SparkSession",
    transform: Transform,
    table: Table,
    files: ObjectFiles,
    row_groups: Sequence[tuple[str, int]],
) -> None:
    columns = [table.column(name) for name in columns_read(transform.name)[table.name]]
    # Without the contract's nullability: to Spark, anything that it reads may be null.
    schema = pa.schema([(column.name, arrow_type(column.type)) for column in columns])
    if row_groups:
        rows = _rows(session, parquet_source(schema, files, row_groups))
    else:
        rows = session.createDataFrame([], spark_ddl(schema))
    rows.createOrReplaceTempView(table.name)


def _rows(session: "SparkSession", source: "type[DataSource]") -> "DataFrame":
    session.dataSource.register(source)
    return session.read.format(source.name()).load()


@contextmanager
def _interrupted_when_idle(session: "SparkSession", address: SparkAddress, what: str) -> Iterator[None]:
    """Interrupts what this thread runs when no task of a begun stage has run for the address's `wait`.

    Spark itself would wait for ever: for executors that nobody has room for, or in the place of those that are lost.
    """
    tag = f"recruitment-{uuid4().hex}"
    ended, late = threading.Event(), threading.Event()
    interrupt: Callable[[str], object]
    if address.remote is None:
        idle = _idle_of_application(session)
        # Not the session's tags, which the thread that collects Arrow does not inherit as of Spark 4.2.1.
        mark, interrupt = session.sparkContext.addJobTag, session.sparkContext.cancelJobsWithTag
    else:
        idle = _idle_of_connect(session)
        mark, interrupt = session.addTag, session.interruptTag
    wait = timedelta(seconds=address.wait).total_seconds()

    def watch() -> None:
        since: float | None = None
        while not ended.wait(_LOOK_SECONDS):
            since = (since or monotonic()) if idle() else None
            if since is not None and monotonic() - since >= wait:
                late.set()
                interrupt(tag)
                return

    mark(tag)
    watcher = threading.Thread(target=watch, name=tag, daemon=True)
    watcher.start()
    try:
        yield
    except Exception as error:
        if not late.is_set():
            raise
        raise StoreUnavailableError(
            f"{what}: no executor of {place_of(address)} has worked for {address.wait} s: the cluster has no room for "
            f"one of RECRUITMENT_SPARK_EXECUTOR_MEMORY={address.executor_memory}, or it cannot reach this machine. "
            "RECRUITMENT_SPARK_WAIT sets how long to wait"
        ) from error
    finally:
        ended.set()
        watcher.join()


def _idle_of_application(session: "SparkSession") -> Callable[[], bool]:
    from py4j.protocol import Py4JError

    tracker = session.sparkContext.statusTracker()

    def idle() -> bool:
        try:
            stages = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
        except (Py4JError, OSError):
            return False  # Java has ended, as the one who waits for it is told
        return bool(stages) and not any(stage is not None and stage.numActiveTasks for stage in stages)

    return idle


def _idle_of_connect(session: "SparkSession") -> Callable[[], bool]:
    told = {"idle": False}

    def progress(stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        begun = any(not stage.done for stage in stages or ())
        told["idle"] = not done and begun and inflight_tasks == 0

    session.registerProgressHandler(cast("Any", progress))
    return lambda: told["idle"]
