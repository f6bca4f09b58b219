"""A server that is away while it is needed: one clear line, nothing lost, and the next run makes it good."""

import pytest

from recruitment_platform.servers.server import Server
from recruitment_platform_tests.on_servers.platform import BETWEEN, DAYS, TRAFFIC, Platform


@pytest.mark.timeout(900)
def test_each_server_may_be_away_once(private: tuple[Platform, dict[str, Server]]) -> None:
    platform, servers = private
    platform.succeed("migrate")
    platform.succeed("produce", *TRAFFIC)
    for name, server in servers.items():
        server.kill()
        outcome = platform.call("run", *BETWEEN)
        assert outcome.code == 3, (name, outcome)
        assert "Traceback" not in outcome.err
        server.restart()
    platform.succeed("run", *BETWEEN)
    assert platform.truths() == ["matched"] * DAYS
