"""A bucket's server that dies in the middle of a run: nothing half-visible, and the next run ends as if it had not."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from recruitment_platform.addresses import S3Address
from recruitment_platform.automation.run import RunOutcome
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.pipeline.publish import current_facts
from recruitment_platform.resources.objects.s3 import open_s3
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse
from recruitment_platform_tests.operations import watched_stores
from recruitment_platform_tests.runs import a_site, day, run
from recruitment_platform_tests.servers_fixtures import StartServer
from recruitment_platform_tests.site import Site

DAYS = 2


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What must come of it: the same days, run without a bucket."""
    site = a_site(tmp_path_factory.mktemp("embedded"), DAYS)
    with dg.DagsterInstance.ephemeral() as ephemeral:
        assert run(site, ephemeral, DAYS).success
    return site


@pytest.mark.parametrize("operation", ["objects.put_if_absent job_hourly_events/candidates/", "warehouse.load_day"])
def test_a_server_killed_between_files_and_manifest_leaves_nothing_half_visible(
    embedded: Site, tmp_path: Path, instance: dg.DagsterInstance, server_start: StartServer, operation: str
) -> None:
    site = a_site(tmp_path / "bucket", DAYS)
    server = server_start("s3")
    prefix = "RECRUITMENT_S3_"
    address = S3Address(**{name.removeprefix(prefix).lower(): value for name, value in server.environment().items()})
    site.objects = open_s3(address, tmp_path / "copies", tries=1)  # type: ignore[assignment]
    site.warehouse = DuckDBWarehouse(site.warehouse.path, timedelta(seconds=10), site.objects)
    killed: list[str] = []

    def kill(moment: str, of: str) -> None:
        if (moment, of) == ("before", operation) and not killed:
            killed.append(of)
            server.kill()

    outcome = materialize(site, instance, kill)
    assert not outcome.success
    assert outcome.exit_code == StoreUnavailableError.exit_code
    assert "cannot be reached" in outcome.message
    assert site.warehouse.ledger() == {}
    server.restart()
    staged = [facts for number in range(DAYS) if (facts := current_facts(site.objects, day(number))) is not None]
    assert len(staged) == (1 if operation == "warehouse.load_day" else 0)
    for facts in staged:
        assert all(site.objects.local(entry.key).stat().st_size == entry.size for entry in facts.files)

    outcome = materialize(site, instance, lambda moment, of: None)
    assert outcome.success, outcome.message
    assert {found: row.digest for found, row in site.warehouse.ledger().items()} == {
        found: row.digest for found, row in embedded.warehouse.ledger().items()
    }
    between = (day(0), day(DAYS - 1))
    assert site.relational.events(*between).equals(embedded.relational.events(*between))


def materialize(site: Site, instance: dg.DagsterInstance, watcher: object) -> RunOutcome:
    return run(site, instance, DAYS, overrides=watched_stores(site, watcher))  # type: ignore[arg-type]
