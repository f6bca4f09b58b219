"""A program of its own that runs the transform on Spark, kills Spark's Java, and runs it again.

`python -m recruitment_platform_tests.transforms.spark_process FOLDER` prints one JSON object.
"""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from recruitment_platform.errors import PlatformError
from recruitment_platform.transforms.engines import SparkEngine, local_spark_session, spark_config
from recruitment_platform_tests.transforms.running import event, run


def main(folder: Path) -> None:
    told: dict[str, object] = {"pyspark_at_import": "pyspark" in sys.modules}
    java = []

    def session_factory():  # noqa: ANN202 - its type would import PySpark before it is asked for
        session = local_spark_session(spark_config(memory="600m", scratch=folder / "scratch"))
        java.append(session._jvm.java.lang.ProcessHandle.current())
        return session

    engine = SparkEngine(session_factory)
    told["java_home_before"] = os.environ.get("JAVA_HOME")
    rows = [event(datetime(2024, 2, 28, tzinfo=UTC), bid_micros=1)]
    for attempt in ("first", "second"):
        (folder / attempt).mkdir()
        told[attempt] = [str(row["spend_hour"]) for row in run(engine, folder / attempt, [rows], []).rows]
    told["sessions"] = len(java)
    told["java_home"] = os.environ["JAVA_HOME"]
    os.kill(java[0].pid(), signal.SIGKILL)
    (folder / "killed").mkdir()
    try:
        run(engine, folder / "killed", [rows], [])
    except PlatformError as error:
        told["killed"] = f"{type(error).__name__}: {error}"
        told["cause"] = type(error.__cause__).__name__
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
