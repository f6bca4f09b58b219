"""`migrate`: makes what the profile's stores need before their first use.

What belongs here: the stores in their order, and a line about each. What does not: what is made (`resources`).
"""

import click

from recruitment_platform.automation.instance import prepare_dagster_home
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import new_or_existing_stores
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.settings import Settings


@click.command("migrate")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1000),
    default=6,
    show_default=True,
    help="Partitions of the Kafka topic, where it is made now.",
)
def command(partitions: int) -> None:
    """Makes keyspace, tables and topic where they are missing; what is there stays as it is, so run it at any time.

    Databases and buckets are not made: who pays for them makes them. With the profile `local` it makes the home.

    \b
    Example:
      RECRUITMENT_PROFILE=servers recruitment-platform migrate
    """
    settings = Settings.from_environment()
    if settings.profile != "local":
        _migrate_servers(settings, partitions)
    stores = new_or_existing_stores(settings)
    stores.objects.list("")
    stores.warehouse.ledger([])
    note(f"Dagster: its storage is {prepare_dagster_home(settings)}")
    note(f"the profile {settings.profile} is ready: its stores answer")


def _migrate_servers(settings: Settings, partitions: int) -> None:
    from recruitment_platform.resources.cassandra.lake import migrate_cassandra
    from recruitment_platform.resources.relational.mysql import migrate_mysql

    migrate_cassandra(settings.cassandra, door_rules(settings))
    note(f"Cassandra: the keyspace {settings.cassandra.keyspace} has its tables")
    migrate_mysql(settings.mysql)
    note(f"MySQL: the database {settings.mysql.database} has its tables, and the view job_performance")
    if settings.has_kafka:
        from recruitment_platform.resources.kafka.log import open_event_log

        open_event_log(settings.kafka).create_topic(partitions)
        note(f"Kafka: there is a topic {settings.kafka.topic}")
    if settings.has_redshift:
        from recruitment_platform.resources.redshift.warehouse import open_redshift
        from recruitment_platform.resources.stores import open_object_store

        open_redshift(settings.redshift, open_object_store(settings)).create_tables()
        note(f"Redshift: the schema {settings.redshift.schema_name} has its tables")
