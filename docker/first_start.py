"""What the servers of `compose.yaml` lack at their first start: our user in Cassandra, and the bucket.

It may run again at any time, and leaves what is there as it is, passwords too. What does not belong here: what the
platform makes by itself (`recruitment-platform migrate`).
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from string import Template

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cassandra import DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy

from recruitment_platform.addresses import CassandraAddress, S3Address
from recruitment_platform.errors import PlatformError, StoreUnavailableError
from recruitment_platform.settings import Settings

ADMIN = "cassandra"
"""The user whom a new Cassandra has, with this password too."""

PATIENCE = 120.0
"""Seconds in which Cassandra must let its own user in, and make ours: a new one answers before it is ready."""

_PAUSE = 2.0


def make_role(address: CassandraAddress, admin_password: str) -> None:
    """Makes the platform's user, who may make keyspaces; last, gives the first user the password, and so marks it done.

    Raises StoreUnavailableError where Cassandra does not let its first user in, by that password or by the first one.
    """
    user, password = address.user, address.password
    if user is None or password is None:
        raise StoreUnavailableError("RECRUITMENT_CASSANDRA_USER and RECRUITMENT_CASSANDRA_PASSWORD are not set")
    secrets = {"password": password.get_secret_value(), "admin_password": admin_password}
    quoted = {name: secret.replace("'", "''") for name, secret in secrets.items()}
    template = Path(__file__).with_name("cassandra_roles.cql").read_text(encoding="utf-8")
    statements = [Template(statement.strip()).substitute(quoted, user=user) for statement in template.split(";")]
    deadline = time.monotonic() + PATIENCE
    while (reason := _refusal(address, admin_password, statements)) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    if reason:
        raise StoreUnavailableError(f"Cassandra at {address.hosts[0]} {reason}")


def make_bucket(address: S3Address) -> None:
    """Makes the bucket where it is missing, on a server of our own: AWS's belong to whoever pays for them.

    Raises StoreUnavailableError where the server cannot be asked, or refuses.
    """
    if address.endpoint is None:
        return
    client = boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key.get_secret_value() if address.secret_key else None,
    )
    try:
        client.create_bucket(Bucket=address.bucket)
    except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        pass
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailableError(f"the bucket {address.bucket} at {address.endpoint}: {error}") from None
    finally:
        client.close()


def _refusal(address: CassandraAddress, admin_password: str, statements: Sequence[str]) -> str:
    """Why the statements could not be carried out; empty once they are, by the first user with its first password."""
    reason = ""
    for password in (admin_password, ADMIN):
        cluster = _cluster(address, password)
        is_in = False
        try:
            session = cluster.connect()
            is_in = True
            for statement in statements if password != admin_password else ():
                session.execute(statement)
        except (DriverException, NoHostAvailable) as error:
            if is_in:
                # What the driver says of the statements may hold the passwords.
                reason = f"refused to make the user {address.user}: {type(error).__name__}"
            else:
                reason = f"does not let the user {ADMIN} in: {' '.join(str(error).split())[:200]}"
        else:
            return ""
        finally:
            cluster.shutdown()
    return reason


def _cluster(address: CassandraAddress, password: str) -> Cluster:
    return Cluster(
        list(address.hosts),
        port=address.port,
        auth_provider=PlainTextAuthProvider(ADMIN, password),
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(WhiteListRoundRobinPolicy(list(address.hosts)))},
        protocol_version=5,
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
    )


def main() -> int:
    """Does both, by the settings of the environment and CASSANDRA_ADMIN_PASSWORD; returns the exit code."""
    # The driver tells of every attempt that fails, beside the exception that tells it.
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    try:
        settings = Settings.from_environment()
        make_role(settings.cassandra, os.environ["CASSANDRA_ADMIN_PASSWORD"])
        make_bucket(settings.s3)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
