"""The stores and the engine as runs get them: opened when a step asks, the same for all, Spark stopped at the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from recruitment_platform.errors import SettingsError
from recruitment_platform.resources.dagster_resources import platform_resources
from recruitment_platform.resources.stores import open_stores
from recruitment_platform.settings import Settings
from recruitment_platform_tests.runs import a_site, day, run

STORES = ("lake", "relational", "objects", "warehouse")

ON_SPARK = """
import json, sys, threading
from pathlib import Path

import dagster as dg
from pyspark import SparkContext

from recruitment_platform.addresses import SparkAddress
from recruitment_platform.definitions import build_definitions
from recruitment_platform.resources import dagster_resources
from recruitment_platform_tests.runs import run, settings_of
from recruitment_platform_tests.site import Site

threads = []
start = dagster_resources.local_spark_session
dagster_resources.local_spark_session = lambda config: threads.append(threading.current_thread().name) or start(config)
site = Site(Path(sys.argv[1]))
with dg.DagsterInstance.ephemeral() as instance:
    refresh = build_definitions(settings_of(site, engine="spark")).resolve_job_def("refresh_dim_jobs")
    assert refresh.execute_in_process(instance=instance).success
    assert SparkContext._gateway is None, "Spark was started by a run that has no use for it"
    for attempt in range(2):
        outcome = run(site, instance, 2, engine="spark", spark=SparkAddress(memory="1g"))
        assert outcome.success, outcome.message
        assert SparkContext._active_spark_context is None
assert ["spark-start" in thread for thread in threads] == [True, True], "Spark is waited for where it need not be"
print(json.dumps({str(found): row.digest for found, row in site.warehouse.ledger().items()}))
"""


def test_nothing_is_opened_or_made_before_a_step_asks(tmp_path: Path) -> None:
    resources = platform_resources(Settings(home=tmp_path / "home", engine="duckdb"))
    with dg.build_resources(resources) as opened:
        assert not (tmp_path / "home").exists()
        for name in STORES:
            assert getattr(opened, name)() is getattr(opened, name)()
        assert (tmp_path / "home" / "lake").exists()


def test_runs_and_the_command_line_open_the_same_stores(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", engine="duckdb", time_zone="Europe/Berlin")
    stores = open_stores(settings)
    with dg.build_resources(platform_resources(settings)) as opened:
        for name in STORES:
            of_runs, of_commands = getattr(opened, name)(), getattr(stores, name)
            assert type(of_runs) is type(of_commands)
        assert opened.lake() == stores.lake
        assert opened.objects().root == stores.objects.root
        assert opened.warehouse().path == stores.warehouse.path
        assert opened.relational().where == stores.relational.where


def test_a_store_that_cannot_be_opened_says_so_when_it_is_asked_for_each_time(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", engine="duckdb")
    open_stores(settings)
    changed = settings.model_copy(update={"time_zone": "Europe/Berlin"})
    with dg.build_resources(platform_resources(changed)) as opened:
        for _ in range(2):
            with pytest.raises(SettingsError):
                opened.lake()


def test_spark_starts_with_a_run_that_needs_it_and_ends_with_it_and_gives_the_same_digests(
    tmp_path: Path,
) -> None:
    site = a_site(tmp_path / "spark", 2)
    on_spark = subprocess.run(
        [sys.executable, "-c", ON_SPARK, str(site.home)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert on_spark.returncode == 0, on_spark.stderr
    other = a_site(tmp_path / "duckdb", 2)
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(other, instance, 2).success
    digests = {str(found): row.digest for found, row in other.warehouse.ledger().items()}
    assert json.loads(on_spark.stdout.splitlines()[-1]) == digests
    assert set(digests) == {str(day(0)), str(day(1))}
