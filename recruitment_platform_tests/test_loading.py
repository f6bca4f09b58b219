"""What is imported, and when: loading the package waits for nothing that only a store, an engine or a command needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from recruitment_platform.transforms import lineage
from recruitment_platform_tests.lineage import derived

HEAVY = {
    "boto3",
    "botocore",
    "cassandra",
    "confluent_kafka",
    "faker",
    "grpc",
    "numba",
    "pandas",
    "py4j",
    "pyarrow.dataset",
    "pymysql",
    "pyspark",
    "redshift_connector",
    "requests",
    "sqlglot",
}
"""Each takes a tenth of a second or more, or comes with something that does."""

LOADED = "\nimport sys\nprint(*sorted(sys.modules))"


def loaded(statement: str, home: Path, engine: str) -> set[str]:
    """The modules that are loaded once a fresh interpreter has run the statement."""
    ran = subprocess.run(
        [sys.executable, "-c", statement + LOADED],
        env={"RECRUITMENT_HOME": str(home), "RECRUITMENT_ENGINE": engine},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize("engine", ["spark", "duckdb"])
@pytest.mark.parametrize(
    "statement",
    [
        "import recruitment_platform.cli",
        "import recruitment_platform.cli.run_command",
        "import recruitment_platform.cli.backfill_command",
        "import recruitment_platform.definitions",
        "from recruitment_platform import definitions; definitions.defs()",
    ],
)
def test_neither_commands_nor_the_code_location_load_what_only_a_store_or_an_engine_needs(
    tmp_path: Path, statement: str, engine: str
) -> None:
    modules = loaded(statement, tmp_path, engine)
    assert "recruitment_platform" in modules
    assert not HEAVY & modules


def test_the_servers_resources_load_no_driver_before_a_step_opens_its_store(tmp_path: Path) -> None:
    modules = loaded("import recruitment_platform.resources.dagster_servers", tmp_path, "duckdb")
    assert HEAVY & modules <= {"boto3", "botocore"}  # which dagster-aws itself loads


def test_help_waits_for_no_dagster(tmp_path: Path) -> None:
    help_ = "from recruitment_platform.cli import main; assert main(['--help']) == 0"
    assert not {"dagster", "duckdb", "pyarrow", "sqlalchemy"} & loaded(help_, tmp_path, "spark")


def test_the_recorded_lineage_is_the_one_that_the_sql_gives() -> None:
    assert lineage.recorded() == derived(), "run: python -m recruitment_platform_tests.lineage"
