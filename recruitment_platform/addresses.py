"""Where the real servers are, and who we are to them: one group of settings a server.

Each group is read from environment variables of its own prefix, as `RECRUITMENT_CASSANDRA_HOSTS`. What belongs here:
addresses, credentials, what a server must be told before the first question. What does not: connecting (`resources`).
Passwords and keys are `SecretStr`: what prints settings, a log or a traceback, prints stars.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "RECRUITMENT_"

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,47}$")]


def _group(name: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=f"{PREFIX}{name}_", frozen=True, extra="forbid", env_ignore_empty=True)


class CassandraAddress(BaseSettings):
    """The lake's Cassandra."""

    model_config = _group("CASSANDRA")

    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1",), min_length=1, description="Contact points of the cluster, with commas between them."
    )
    port: Port = Field(default=9042, description="Port of CQL's native protocol.")
    keyspace: Name = Field(default="recruitment", description="Keyspace; `migrate` makes it.")
    datacenter: str = Field(default="datacenter1", description="The datacenter whose nodes are asked (LOCAL_QUORUM).")
    replication: int | None = Field(
        default=None,
        ge=1,
        description="Copies of each row when `migrate` makes the keyspace; as many as nodes, at most 3, by default.",
    )
    buckets: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Partitions that a day is spread over, stored with the lake when it is begun. One should stay"
        " below 100 MB: 16 do for a million events a day.",
    )
    user: str | None = Field(default=None, description="User, where the cluster asks for one.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    tls_ca: Path | None = Field(default=None, description="PEM file of the authority to trust: turns TLS on.")

    @field_validator("hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(host.strip() for host in value.split(",") if host.strip())
        return value


class KafkaAddress(BaseSettings):
    """The event log before the lake; without `servers` there is none."""

    model_config = _group("KAFKA")

    servers: str | None = Field(
        default=None, description="Bootstrap servers, `host:port` with commas between them; none where it is not set."
    )
    topic: str = Field(default="tracking", pattern="^[A-Za-z0-9._-]{1,249}$", description="Topic of tracking events.")
    group: str = Field(default="recruitment-platform", min_length=1, description="Consumer group of the ingest.")
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="Protocol: with or without TLS and a user."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the user proves to be it."
    )
    user: str | None = Field(default=None, description="User, with the protocols `sasl_…`.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    tls_ca: Path | None = Field(default=None, description="PEM file of the authority to trust, with `…ssl`.")


class MySQLAddress(BaseSettings):
    """The operational tables' MySQL, or a server that speaks its protocol (MariaDB is the one tested)."""

    model_config = _group("MYSQL")

    host: str = Field(default="127.0.0.1", min_length=1, description="Host.")
    port: Port = Field(default=3306, description="Port.")
    database: Name = Field(default="recruitment", description="Database; it must exist, its tables are made.")
    user: str = Field(default="recruitment", min_length=1, description="User.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    tls_ca: Path | None = Field(default=None, description="PEM file of the authority to trust: turns TLS on.")


class S3Address(BaseSettings):
    """The object store's bucket, on S3 or any server that speaks its protocol."""

    model_config = _group("S3")

    endpoint: str | None = Field(
        default=None, pattern="^https?://", description="Address of the server; AWS's own where it is not set."
    )
    region: str = Field(default="us-east-1", min_length=1, description="Region.")
    bucket: str = Field(
        default="recruitment", pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Bucket; it must exist."
    )
    prefix: str = Field(
        default="",
        pattern="^([A-Za-z0-9_=-][A-Za-z0-9._=-]*/)*$",
        description="Folder within the bucket, ending with a slash.",
    )
    access_key: str | None = Field(
        default=None, description="Access key id; where it is not set, AWS's own ways to find one (a role, a profile)."
    )
    secret_key: SecretStr | None = Field(default=None, description="Secret access key.")
    tls_ca: Path | None = Field(default=None, description="PEM file of the authority to trust, of an https endpoint.")


class RedshiftAddress(BaseSettings):
    """The warehouse; without `host` or `cluster` it is the embedded one."""

    model_config = _group("REDSHIFT")

    host: str | None = Field(default=None, description="Host; without it (and `cluster`) the warehouse is embedded.")
    port: Port = Field(default=5439, description="Port.")
    database: Name = Field(default="recruitment", description="Database; it must exist, the tables are made.")
    schema_name: Name = Field(default="public", description="Schema of the tables; it must exist.")
    user: str | None = Field(default=None, description="User.")
    password: SecretStr | None = Field(default=None, description="Its password; not with `cluster`.")
    cluster: str | None = Field(
        default=None, description="Cluster identifier: passwords are then temporary ones that IAM gives."
    )
    region: str | None = Field(default=None, description="Region of the cluster, with `cluster`.")
    iam_role: str | None = Field(
        default=None,
        pattern="^(default|arn:.+)$",
        description="Role by which COPY reads the bucket: an ARN or `default`.",
    )
    tls: Literal["verify-full", "verify-ca", "off"] = Field(
        default="verify-full", description="What is checked of the server's certificate; `off` is for tests."
    )
    wait: int = Field(default=60, ge=1, description="Seconds that a load waits for the ledger's lock of another.")


class SparkAddress(BaseSettings):
    """Where Spark runs: in this process, on a cluster, or behind Spark Connect."""

    model_config = _group("SPARK")

    master: str = Field(
        default="local[*]",
        pattern=r"^(local(\[.+\])?|spark://.+|yarn|k8s://.+)$",
        description="Spark's master URL: `local[*]`, `spark://host:7077`, `yarn`, `k8s://…`.",
    )
    remote: str | None = Field(
        default=None, pattern="^sc://.+", description="Address of a Spark Connect server, `sc://host:15002`."
    )
    memory: str = Field(
        default="2g",
        pattern="^([5-9][0-9]{2}m|[1-9][0-9]{3,}m|[1-9][0-9]*g)$",
        description="Memory of Spark's driver, as `900m` or `2g`; at least `500m`.",
    )
    executor_memory: str = Field(
        default="2g",
        pattern="^([5-9][0-9]{2}m|[1-9][0-9]{3,}m|[1-9][0-9]*g)$",
        description="Memory of each executor on a cluster.",
    )
    wait: int = Field(default=120, ge=1, description="Seconds that a run waits while no executor of a cluster works.")

    @property
    def is_remote(self) -> bool:
        """Whether the executors are other processes than the driver, maybe of other machines."""
        return self.remote is not None or not self.master.startswith("local")
