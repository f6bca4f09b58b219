"""The figures of a platform on servers, some of which do not let us in."""

from prometheus_client.parser import text_string_to_metric_families

from recruitment_platform_tests.cli.command_line import free_port
from recruitment_platform_tests.on_servers.platform import Platform

WRONG = "Wr0ng-secret-of-a-test"


def ups(page: str) -> dict[str, float]:
    return {
        sample.labels["store"]: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "recruitment_store_up"
    }


def test_stores_that_do_not_let_us_in_are_told_without_their_secrets(servers: Platform) -> None:
    servers.succeed("migrate")
    assert ups(servers.succeed("metrics", "--once")) == {"lake": 1, "warehouse": 1, "objects": 1}
    refused = {f"RECRUITMENT_{name}": WRONG for name in ("CASSANDRA_PASSWORD", "REDSHIFT_PASSWORD", "S3_SECRET_KEY")}
    cases = (
        ({"RECRUITMENT_CASSANDRA_PASSWORD": WRONG}, {"lake": 0, "warehouse": 1, "objects": 1}),
        ({"RECRUITMENT_REDSHIFT_PORT": str(free_port())}, {"lake": 1, "warehouse": 0, "objects": 1}),
        (refused, {"lake": 0, "warehouse": 0, "objects": 0}),
    )
    for settings, expected in cases:
        outcome = servers.call("metrics", "--once", **settings)
        assert outcome.code == 0, outcome.err
        assert ups(outcome.out) == expected
        told = [line for line in outcome.err.splitlines() if "cannot be read, its figures are left out" in line]
        assert len(told) == list(expected.values()).count(0), outcome.err
        assert not [secret for secret in {WRONG, *servers.secrets} if secret in outcome.out + outcome.err]
