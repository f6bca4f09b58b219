"""What tests run on a Spark of other processes, each function in a process of its own: a process has one Spark alone.

What belongs here: the driver's side, telling what came of it in plain values. What does not: what must come of it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest import mock

import pyarrow as pa

from recruitment_platform.addresses import S3Address, SparkAddress
from recruitment_platform.errors import PlatformError
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.objects.s3 import open_s3
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.transforms.engines import Engine
from recruitment_platform.transforms.remote_spark import (
    RemoteSparkEngine,
    cluster_config,
    connect_config,
    remote_session,
)
from recruitment_platform.transforms.spark_sources import ObjectFiles

TRANSFORM = "job_hourly_events"
PARAMETERS = {"sources": "Parquet"}
PIECE = pa.schema([("piece", pa.int32()), ("worker", pa.string())])
_SECONDS = 120.0

Keys = Mapping[str, Sequence[str]]
"""Each view's objects."""


def engine_at(address: SparkAddress, bucket: S3Address | None, scratch: Path) -> RemoteSparkEngine:
    """The engine, its own processes on this machine alone, with little memory and compiling little."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    small = {"spark.executor.defaultJavaOptions": "-XX:TieredStopAtLevel=1", "spark.sql.shuffle.partitions": "4"}
    config = connect_config(address) if address.remote else cluster_config(address, scratch) | small
    return RemoteSparkEngine(partial(remote_session, config), address, ObjectFiles(bucket))


def compute(engine: Engine, store: ObjectStore, keys: Keys, out: Path) -> str | None:
    """Runs the transform over the store's objects; the error's one line, if any."""
    return told(
        lambda: engine.run(
            TRANSFORM,
            {view: [engine.input(store, key) for key in of_view] for view, of_view in keys.items()},
            PARAMETERS,
            out,
        )
    )


def told(action: Callable[[], object]) -> str | None:
    """`Type: message` of the platform's error that it ends with, if any."""
    try:
        action()
    except PlatformError as error:
        return f"{type(error).__name__}: {error}"
    return None


def on_cluster(
    address: SparkAddress, bucket: S3Address, keys: Keys, spoilt: Mapping[str, Keys], doomed: int, folder: Path
) -> dict[str, object]:
    """The facts of the objects; each spoilt input's error; what comes of executors without keys, and of losing some."""
    engine = engine_at(address, bucket, folder / "scratch")
    store = open_s3(bucket, folder / "copies")
    found: dict[str, object] = {"facts": compute(engine, store, keys, folder / "facts")}
    for name, files in spoilt.items():
        found[name] = compute(engine, store, files, folder / name)
    found["gone"] = told(
        lambda: engine.run(TRANSFORM, {"raw_tracking": [], "dim_jobs": [_GONE]}, PARAMETERS, folder / "gone")
    )
    os.environ |= {"AWS_ACCESS_KEY_ID": str(bucket.access_key), "AWS_SECRET_ACCESS_KEY": _secret(bucket)}
    keyless = bucket.model_copy(update={"access_key": None, "secret_key": None})
    engine._files = ObjectFiles(keyless)
    found["keyless"] = compute(engine, store, keys, folder / "keyless")
    found["lost"] = _losing_a_worker(engine, doomed, folder / "pieces")
    engine.stop()
    return found


def without_room(address: SparkAddress, folder: Path) -> str | None:
    """What is told where no worker has the memory for an executor."""
    engine = engine_at(address, None, folder / "scratch")
    return told(lambda: engine.gather("pieces", PIECE, [0], lambda piece: iter(())))


def behind_connect(address: SparkAddress, keys: Keys, objects: Path, server: int, folder: Path) -> dict[str, object]:
    """The facts of a folder's objects; what is told of settings, of versions, and of a server that is killed."""
    engine = engine_at(address, None, folder / "scratch")
    store = FolderStore(objects)
    found: dict[str, object] = {"facts": compute(engine, store, keys, folder / "facts")}
    much: Keys = {"raw_tracking": ["much.parquet"], "dim_jobs": []}
    found["much"] = compute(engine, store, much, folder / "much")
    empty: Keys = {"raw_tracking": [], "dim_jobs": []}
    found["empty"] = compute(engine, store, empty, folder / "empty")
    with mock.patch.dict("recruitment_platform.transforms.remote_spark.RESULT_SETTINGS", {"spark.driver.memory": "1g"}):
        found["refused"] = compute(engine, store, empty, folder / "refused")
    with mock.patch("pyspark.__version__", "9.8.7"):
        other = engine_at(address, None, folder / "scratch")
        found["version"] = compute(other, store, empty, folder / "version")
    os.kill(server, signal.SIGKILL)
    found["killed"] = compute(engine, store, empty, folder / "killed")
    engine.stop()
    return found


_GONE = "s3://recruitment/nothing.parquet"


def _losing_a_worker(engine: RemoteSparkEngine, doomed: int, folder: Path) -> list[tuple[int, str]]:
    """Two pieces are begun on two workers, one of which is killed with its executor; what is read in the end."""
    folder.mkdir()
    go = folder / "go"
    seconds = _SECONDS

    def read(piece: int) -> Iterator[pa.RecordBatch]:
        # Runs in an executor, whose folder lies in its worker's.
        worker = next(part for part in Path.cwd().parts if part.startswith("spark-worker"))
        (folder / f"{piece}-{worker}").touch()
        end = time.monotonic() + seconds
        while not go.exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield pa.record_batch([pa.array([piece], pa.int32()), pa.array([worker])], names=["piece", "worker"])

    rows: list[pa.Table] = []
    reading = threading.Thread(target=lambda: rows.append(engine.gather("pieces", PIECE, [0, 1], read)))
    reading.start()
    end = time.monotonic() + seconds
    while len(list(folder.iterdir())) < 2 and reading.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    children = Path(f"/proc/{doomed}/task/{doomed}/children").read_text().split()
    for process in (doomed, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    go.touch()
    reading.join()
    return sorted((row["piece"], row["worker"]) for table in rows for row in table.to_pylist())


def _secret(bucket: S3Address) -> str:
    return bucket.secret_key.get_secret_value() if bucket.secret_key else ""
