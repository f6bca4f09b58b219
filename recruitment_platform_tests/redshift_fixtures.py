"""Redshift for tests: the gate in front of PostgreSQL, and a schema and a prefix of the bucket for each test.

What belongs here: fixtures. What does not: how the gate does it (`redshift_gate`). Loaded with every test run, so it
loads no client before a test asks for one.
"""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from recruitment_platform.addresses import RedshiftAddress, S3Address
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.redshift_gate.process import Bucket, GateProcess, end_with_parent

ROLE = "arn:aws:iam::123456789012:role/warehouse-reads-staging"


@dataclass(frozen=True)
class RedshiftPlace:
    """Where a test has Redshift: `gate` rules the gate, `server` is the PostgreSQL behind it."""

    gate: Any
    server: Server
    address: RedshiftAddress
    bucket: S3Address
    scratch: Path

    def store(self) -> ObjectStore:
        """The object store that COPY reads."""
        from recruitment_platform.resources.objects.s3 import open_s3

        return open_s3(self.bucket, self.scratch)

    def environment(self) -> dict[str, str]:
        """The settings `RECRUITMENT_…` that lead another process there."""
        fields = {"REDSHIFT": self.address, "S3": self.bucket}
        return {
            f"RECRUITMENT_{group}_{name.upper()}": value.get_secret_value()
            if isinstance(value, SecretStr)
            else str(value)
            for group, address in fields.items()
            for name, value in ((name, getattr(address, name)) for name in type(address).model_fields)
            if value not in (None, "")
        }


@pytest.fixture(scope="session")
def gate_process() -> Iterator[GateProcess]:
    """The process in which all gates of the run live."""
    process = GateProcess()
    process.start(initializer=end_with_parent)
    yield process
    process.shutdown()


@pytest.fixture(scope="session")
def redshift_gate(gate_process: GateProcess, postgres_server: Server, s3_server: Server) -> Any:
    """The gate in front of the PostgreSQL of all tests."""
    return open_gate(gate_process, postgres_server, s3_server)


@pytest.fixture
def redshift(
    redshift_gate: Any,
    postgres_server: Server,
    s3_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RedshiftPlace]:
    """Redshift with the platform's tables, empty, in a schema of its own; processes that are started find it too."""
    place = redshift_place(redshift_gate, postgres_server, s3_server, tmp_path / "objects-cache")
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    yield place
    redshift_gate.forget_faults()


# Redshift's two, by PostgreSQL's names. Under the first, which new clusters have, a transaction sees what was committed
# before its first statement that reads or writes, and nothing tells it that another one came in between: only a lock
# does. Under the second it then fails with error 1023.
SNAPSHOT, SERIALIZABLE = "repeatable read", "serializable"


def open_gate(
    process: GateProcess,
    postgres: Server,
    s3: Server,
    certificate: Path | None = None,
    isolation: str = SNAPSHOT,
) -> Any:
    """A gate in front of that PostgreSQL, which lets COPY read that S3 server."""
    found = s3.environment()
    bucket = Bucket(
        endpoint=found["RECRUITMENT_S3_ENDPOINT"],
        region=found["RECRUITMENT_S3_REGION"],
        access_key=found["RECRUITMENT_S3_ACCESS_KEY"],
        secret_key=found["RECRUITMENT_S3_SECRET_KEY"],
        role=ROLE,
    )
    upstream = (postgres.host, postgres.port, str(postgres.user), postgres.password)
    return process.gate(upstream, bucket, certificate, isolation)  # type: ignore[attr-defined]


def redshift_place(gate: Any, postgres: Server, s3: Server, scratch: Path) -> RedshiftPlace:
    """A new schema with the platform's tables behind the gate, and a new prefix of the bucket."""
    from recruitment_platform.resources.redshift.warehouse import open_redshift

    name = f"test{uuid.uuid4().hex[:12]}"
    with superuser(postgres) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    found = s3.environment()
    place = RedshiftPlace(
        gate=gate,
        server=postgres,
        address=RedshiftAddress(
            host="127.0.0.1",
            port=gate.port(),
            schema_name=name,
            user=postgres.user,
            password=SecretStr(postgres.password),
            iam_role=ROLE,
            tls="off",
        ),
        bucket=S3Address(
            endpoint=found["RECRUITMENT_S3_ENDPOINT"],
            region=found["RECRUITMENT_S3_REGION"],
            bucket=found["RECRUITMENT_S3_BUCKET"],
            prefix=f"{name}/",
            access_key=found["RECRUITMENT_S3_ACCESS_KEY"],
            secret_key=SecretStr(found["RECRUITMENT_S3_SECRET_KEY"]),
        ),
        scratch=scratch,
    )
    open_redshift(place.address, place.store()).create_tables()
    return place


def superuser(postgres: Server) -> psycopg.Connection:
    """A connection past the gate, each statement committed."""
    return psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        dbname="recruitment",
        autocommit=True,
    )


@contextmanager
def at_the_same_time(work: Callable[..., Any], *arguments: Any) -> Iterator[Callable[[], Any]]:
    """The work in a thread; calling what this gives waits for its result."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, *arguments)
        yield lambda: future.result(60)
