"""A day extracted and computed by executors, on a cluster and behind Spark Connect, is that of one process."""

from pathlib import Path

import pytest

from recruitment_platform.servers.server import Server
from recruitment_platform_tests.on_servers.platform import BETWEEN, DAYS, TRAFFIC, Platform, embedded
from recruitment_platform_tests.spark_servers import EXECUTOR_MEMORY, Cluster

SMALL = {"RECRUITMENT_ENGINE": "spark", "RECRUITMENT_SPARK_MEMORY": "600m", "SPARK_LOCAL_IP": "127.0.0.1"}


@pytest.fixture
def platform(servers_without_kafka_and_redshift: Platform) -> Platform:
    """The traffic in Cassandra, nothing published yet."""
    servers_without_kafka_and_redshift.succeed("migrate")
    servers_without_kafka_and_redshift.succeed("simulate", *TRAFFIC)
    return servers_without_kafka_and_redshift


@pytest.mark.timeout(900)
def test_executors_extract_and_compute_what_one_process_does_and_keep_no_secret(
    platform: Platform, spark_cluster: Cluster, spark_connect: Server, tmp_path: Path
) -> None:
    local = embedded(tmp_path / "embedded")
    local.succeed("simulate", *TRAFFIC)
    local.succeed("run", *BETWEEN)
    events = tmp_path / "spark-events"
    events.mkdir()
    (tmp_path / "spark-defaults.conf").write_text(
        f"spark.eventLog.enabled true\nspark.eventLog.compress false\nspark.eventLog.dir {events.as_uri()}\n"
        "spark.executor.defaultJavaOptions -XX:TieredStopAtLevel=1\nspark.sql.shuffle.partitions 4\n"
    )
    on_cluster = SMALL | {
        "RECRUITMENT_SPARK_MASTER": spark_cluster.url,
        "RECRUITMENT_SPARK_EXECUTOR_MEMORY": EXECUTOR_MEMORY,
        "SPARK_CONF_DIR": str(tmp_path),
    }
    said = [platform.call("run", *BETWEEN, **on_cluster)]
    assert said[0].code == 0, said[0]
    assert platform.truths() == ["matched"] * DAYS
    assert platform.ledger() == local.ledger()
    behind_connect = SMALL | {"RECRUITMENT_SPARK_REMOTE": f"sc://{spark_connect.host}:{spark_connect.port}"}
    said.append(platform.call("run", *BETWEEN, **behind_connect))
    assert said[1].code == 0, said[1]
    assert platform.ledger() == local.ledger(), "what Connect computed is no other"
    texts = [outcome.out + outcome.err for outcome in said] + [spark_cluster.logs()]
    # What Spark's page would show, and of each side the queries that it ran.
    for folder, queries in ((events, 2 * DAYS), (spark_connect.folder, 2 * DAYS)):
        shown = [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
        assert "".join(shown).count("SparkListenerSQLExecutionStart") >= queries
        texts += shown
    assert len(platform.secrets) == 3
    assert not [secret for secret in platform.secrets if any(secret in text for text in texts)]
