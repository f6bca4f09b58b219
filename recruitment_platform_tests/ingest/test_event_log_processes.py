"""Nothing lost, nothing twice by way of Kafka: whoever is killed, restarted, added or started twice."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from recruitment_platform.servers.server import Server
from recruitment_platform_tests.ingest.log_process import MOMENTS, produce
from recruitment_platform_tests.ingest.log_site import LogSite, assert_truth, log_site
from recruitment_platform_tests.servers_fixtures import StartServer


@pytest.fixture(scope="module")
def sent(kafka_server: Server, tmp_path_factory: pytest.TempPathFactory) -> LogSite:
    """Two days' simulated traffic with every fault, in a topic, and in no lake yet."""
    site = log_site(kafka_server, tmp_path_factory.mktemp("sent"), "processes")
    produce(site.home, site.log)
    return site


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_ingester_that_is_killed_and_run_again_takes_every_message_in_once(
    sent: LogSite, tmp_path: Path, moment: str
) -> None:
    site = sent.beside(tmp_path / "home")
    with site.process("drain", moment=moment) as ingester:
        assert ingester.ends() == -signal.SIGKILL
    some = sum(site.received().values())
    assert 0 < some < sum(site.in_topic().values())
    with site.process("follow", group=tmp_path.name) as ingester:
        while some < sum(site.in_topic().values()):
            some += int(ingester.tells("rows").split()[1])
        ingester.process.terminate()
        assert ingester.ends() == 0
    assert site.received() == site.in_topic()
    assert_truth(site)


def test_sigterm_ends_an_ingester_cleanly_and_its_group_knows_at_once(sent: LogSite, tmp_path: Path) -> None:
    site = sent.beside(tmp_path / "home")
    group = tmp_path.name
    with site.process("follow", group=group) as ingester:
        ingester.tells("rows")
        ingester.process.terminate()
        ingester.tells("ended")
        assert ingester.ends() == 0
    admin = AdminClient({"bootstrap.servers": site.log.address.servers, "log_level": 0})
    assert admin.describe_consumer_groups([group])[group].result(30).members == []
    site.drain()
    assert site.received() == site.in_topic()


def test_two_groups_at_once_take_every_message_in_once(sent: LogSite, tmp_path: Path) -> None:
    site = sent.beside(tmp_path / "home")
    with ExitStack() as stack:
        both = [stack.enter_context(site.process("follow", group=f"{tmp_path.name}{n}")) for n in range(2)]
        drained = stack.enter_context(site.process("drain"))
        for ingester in both:
            ingester.tells("begins")
        assert drained.ends() == 0
        for ingester in both:
            ingester.process.terminate()
            assert ingester.ends() == 0
    assert site.received() == site.in_topic()
    assert_truth(site)


def test_ingesters_that_share_a_group_hand_partitions_over_and_lose_nothing(
    kafka_server: Server, tmp_path: Path, topic: str
) -> None:
    site = log_site(kafka_server, tmp_path / "home", topic)
    with ExitStack() as stack:
        first = stack.enter_context(site.process("follow", group=topic))
        assert first.tells("begins 0") == "begins 0 1 2"
        producer = stack.enter_context(site.process("produce"))
        producer.tells("rows")
        second = stack.enter_context(site.process("follow", group=topic))
        shares = {second.tells("begins ").removeprefix("begins "), ""}
        assert shares != {"0 1 2", ""}
        assert producer.ends() == 0
        first.process.send_signal(signal.SIGTERM)
        assert first.ends() == 0
        assert second.tells("begins 0 1 2")
        with site.process("drain") as beside:
            assert beside.ends() == 0
        second.process.send_signal(signal.SIGINT)
        assert second.ends() == 0
    assert site.received() == site.in_topic()
    assert_truth(site)


def test_kafka_killed_in_mid_produce_gets_every_message_once_all_the_same(
    server_start: StartServer, tmp_path: Path, topic: str
) -> None:
    server = server_start("kafka")
    site = log_site(server, tmp_path / "home", topic)
    with site.process("follow", group=topic) as ingester:
        ingester.tells("begins")
        with site.process("produce") as producer:
            producer.tells("rows")
            server.kill()
            server.restart()
            assert producer.ends() == 0
        ingester.process.terminate()
        assert ingester.ends() == 0
    site.drain()
    assert site.received() == site.in_topic()
    assert_truth(site)


def test_a_producer_that_is_killed_and_run_again_sends_nothing_but_duplicates_twice(
    kafka_server: Server, tmp_path: Path, topic: str
) -> None:
    site = log_site(kafka_server, tmp_path / "home", topic)
    with site.process("produce", moment="after flush") as producer:
        assert producer.ends() == -signal.SIGKILL
    assert sum(site.in_topic().values()) > 0
    sent = []
    for _ in range(2):
        with site.process("produce") as producer:
            assert producer.ends() == 0
        sent.append(site.in_topic())
    assert sent[0] == sent[1]
    site.drain()
    assert_truth(site, sent_twice=True)
