"""What Grafana and Prometheus are given in `docker/`: whole dashboards, and the way to what they read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from string import Template
from typing import Any

import pymysql
import pytest
import yaml

from recruitment_platform.addresses import MySQLAddress
from recruitment_platform.resources.relational.mysql import migrate_mysql
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.dashboards.grafana import (
    DASHBOARDS,
    DOCKER,
    PROVISIONING,
    panels,
    targets,
    variables,
)
from recruitment_platform_tests.prometheus import promtool
from recruitment_platform_tests.resources.relational_stores import fresh_database

PASSWORD = "Grafanas-own"
FUNNEL, FRESHNESS = "funnel_and_spend", "freshness"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]


def test_prometheus_takes_its_configuration() -> None:
    promtool("check", "config", str(DOCKER / "prometheus.yaml"))
    (job,) = yaml.safe_load((DOCKER / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    ((service, port),) = (target.split(":") for target in job["static_configs"][0]["targets"])
    assert SERVICES[service]["command"][-1] == port


def test_dashboards_and_datasources_are_provisioned_where_compose_puts_them() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert provider["options"]["path"] == f"{mounts['./grafana/provisioning']}/dashboards"
    datasources = {source["uid"]: source for source in provisioned("datasources")["datasources"]}
    assert set(datasources) == {"facts", "prometheus"}
    host, port = datasources["prometheus"]["url"].removeprefix("http://").split(":")
    assert (host in SERVICES, port) == (True, "9090")
    asked = set(re.findall(r"\$(\w+)", (PROVISIONING / "datasources" / "datasources.yaml").read_text(encoding="utf-8")))
    assert asked == {name for name in SERVICES["grafana"]["environment"] if name.startswith("FACTS_")}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_whole(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"].startswith("recruitment-")
    assert dashboard["timezone"] == "utc"  # days are days, wherever the viewer is
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) == len(panels(name))
    known = {source["uid"] for source in provisioned("datasources")["datasources"]}
    asking = [*dashboard["panels"], *(target for _, target in targets(name)), *variables(name).values()]
    assert {asked["datasource"]["uid"] for asked in asking} <= known
    cells = [cell for panel in dashboard["panels"] for cell in cells_of(panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    for panel in dashboard["panels"]:
        assert panel["description"], panel["title"]


def test_money_seconds_and_rates_have_their_units() -> None:
    for title, panel in panels(FUNNEL).items():
        sql = panel["targets"][0]["rawSql"]
        for column, unit in (("spend", "currencyUSD"), ("_rate", "percentunit"), ("cost_per_", "currencyUSD")):
            for name in re.findall(rf"AS (\w*{column}\w*)", sql):
                assert unit_of(panel, name) == unit, (title, name)
    for title, panel in panels(FRESHNESS).items():
        expression = panel["targets"][0]["expr"]
        instants = (("_seconds) * 1000", "dateTimeAsIso"), ("_seconds", "s"), ("_spend", "currencyUSD"))
        units = [unit for part, unit in instants if part in expression]
        assert not units or unit_of(panel, "") == units[0], title


def unit_of(panel: Mapping[str, Any], column: str) -> str:
    """The unit of a column, by its override or the panel's default."""
    given = [
        item["value"]
        for override in panel["fieldConfig"]["overrides"]
        for item in override["properties"]
        if override["matcher"]["options"] == column and item["id"] == "unit"
    ]
    return str((given or [panel["fieldConfig"]["defaults"]["unit"]])[0])


def provisioned(what: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROVISIONING / what / f"{what}.yaml").read_text(encoding="utf-8"))
    return found


def cells_of(grid: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(grid["x"], grid["x"] + grid["w"]):
        for y in range(grid["y"], grid["y"] + grid["h"]):
            yield x, y


def test_grafanas_user_in_mysql_reads_the_view_and_nothing_else(mariadb_server: Server) -> None:
    """By the statements of the script that MySQL's image runs first, then `migrate`, which keeps the rights."""
    script = (DOCKER / "mysql_reader").read_text(encoding="utf-8")
    mounted = [volume.split(":")[1] for volume in SERVICES["mysql"]["volumes"] if volume.startswith("./mysql_reader:")]
    assert mounted == ["/docker-entrypoint-initdb.d/mysql_reader.sh"]
    named = set(re.findall(r"\$(\w+)", script))
    assert named <= set(SERVICES["mysql"]["environment"])
    with fresh_database(mariadb_server) as environment:
        database, user = environment["RECRUITMENT_MYSQL_DATABASE"], mariadb_server.user
        # Users are the server's, not the database's: this one is the test's own.
        reader = f"grafana_{database}"
        statements = Template(re.search(r"<<SQL\n(.*)SQL\n", script, re.S)[1]).substitute(  # type: ignore[index]
            GRAFANA_FACTS_PASSWORD=PASSWORD, MYSQL_USER=user
        )
        with connected(mariadb_server, str(user), mariadb_server.password, database) as cursor:
            for statement in statements.replace("'grafana'", f"'{reader}'").strip().rstrip(";").split(";\n"):
                cursor.execute(statement)
        migrate_mysql(
            MySQLAddress(port=mariadb_server.port, database=database, user=user, password=mariadb_server.password)
        )
        with connected(mariadb_server, reader, PASSWORD, database) as cursor:
            cursor.execute("SELECT count(*) FROM job_performance WHERE clicks > 0")
            assert cursor.fetchall() == ((0,),)
            for table in ("events", "job", "generic_row"):
                with pytest.raises(pymysql.err.OperationalError, match="denied"):
                    cursor.execute(f"SELECT * FROM {table}")
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                cursor.execute("DROP VIEW job_performance")
        with connected(mariadb_server, str(user), mariadb_server.password, database) as cursor:
            cursor.execute(f"DROP USER '{reader}'@'%'")


@contextmanager
def connected(server: Server, user: str, password: str, database: str) -> Iterator[Any]:
    connection = pymysql.connect(
        host=server.host, port=server.port, user=user, password=password, database=database, autocommit=True
    )
    with closing(connection), connection.cursor() as cursor:
        yield cursor
