"""What the tests of several stores share: a database of the module's own, a bucket of the test's own."""

from collections.abc import Iterator

import pytest

from recruitment_platform.servers.server import Server
from recruitment_platform_tests.resources.objects.stores import fresh_bucket
from recruitment_platform_tests.resources.relational_stores import fresh_database


@pytest.fixture(scope="module")
def mysql_environment(mariadb_server: Server) -> Iterator[dict[str, str]]:
    """One database for all tests of a module, which empty it; `MySQLAddress()` leads there, in child processes too."""
    with fresh_database(mariadb_server) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture
def s3_environment(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty bucket; `S3Address()` leads there, in child processes too."""
    environment = fresh_bucket(s3_server)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
