"""A program of its own that runs the transform on Spark once, Java's loading of classes told in FOLDER/java.log.

`python -m recruitment_platform_tests.transforms.kept_classes_process FOLDER` prints nothing.
"""

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from recruitment_platform.transforms.engines import SparkEngine, local_spark_session, spark_config
from recruitment_platform_tests.transforms.running import event, run


def main(folder: Path) -> None:
    config = spark_config(memory="600m", scratch=folder / "scratch")
    config["spark.driver.extraJavaOptions"] += f" -Xlog:class+load=info:file={folder / 'java.log'}"
    engine = SparkEngine(partial(local_spark_session, config))
    run(engine, folder, [[event(datetime(2024, 2, 28, tzinfo=UTC), bid_micros=1)]], [])
    engine.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
