"""What librdkafka is told of Kafka, and what it tells back, as the platform tells it.

What belongs here: our settings as librdkafka's, its errors as ours. What does not: what is asked of Kafka (`log`).
"""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.errors import PlatformError, SettingsError, StoreUnavailableError

REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
LEADERLESS = frozenset({KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION})
_TLS_FAILED = "SSL handshake failed"
"""Of a server that closes the connection, as one without TLS does: to librdkafka one that may yet come."""

OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


def connection(address: KafkaAddress) -> dict[str, Any]:
    """Where Kafka is and who we are, in librdkafka's words."""
    settings: dict[str, Any] = {
        "bootstrap.servers": address.servers,
        "client.id": "recruitment-platform",
        "security.protocol": address.security,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1000,
    }
    if address.tls_ca is not None:
        settings["ssl.ca.location"] = str(address.tls_ca)
    if address.security.startswith("sasl") and address.password is not None:
        settings |= {
            "sasl.mechanisms": address.sasl_mechanism,
            "sasl.username": address.user,
            "sasl.password": address.password.get_secret_value(),
        }
    return settings


def failure(address: KafkaAddress, error: KafkaError, troubles: Iterable[KafkaError] = ()) -> PlatformError:
    """The failure as the platform tells it; `troubles` may know more than the failure itself, a timeout, says."""
    told = [error, *reversed(list(troubles))]
    for one in told:
        code = one.code()
        if code in REFUSED:
            return SettingsError(
                f"Kafka at {address.servers} refuses the user {address.user}; check RECRUITMENT_KAFKA_USER, "
                "RECRUITMENT_KAFKA_PASSWORD and RECRUITMENT_KAFKA_SASL_MECHANISM"
            )
        if code == KafkaError._SSL or _TLS_FAILED in one.str():
            return SettingsError(
                f"no TLS with Kafka at {address.servers} ({reason(one)}); check RECRUITMENT_KAFKA_SECURITY, "
                "RECRUITMENT_KAFKA_TLS_CA, and that RECRUITMENT_KAFKA_SERVERS has a name that its certificate has"
            )
        if code in FORBIDDEN:
            return SettingsError(
                f"Kafka at {address.servers} does not let {address.user or 'an unnamed user'} use the topic "
                f"{address.topic} with the group {address.group} ({one.name()}); grant it reading, writing and "
                "describing there"
            )
        if code in MISSING:
            return StoreUnavailableError(
                f"Kafka at {address.servers} has no topic {address.topic}; create it: recruitment-platform migrate"
            )
    connection = next((one for one in told if one.code() in (KafkaError._RESOLVE, KafkaError._TRANSPORT)), error)
    return StoreUnavailableError(
        f"Kafka at {address.servers} does not answer ({reason(connection)}); check that it runs, and "
        "RECRUITMENT_KAFKA_SERVERS and RECRUITMENT_KAFKA_SECURITY"
    )


def reason(error: KafkaError) -> str:
    """What librdkafka says, on one line."""
    return " ".join(error.str().split())


def as_kafka_writes(topic_id: str) -> str:
    """The id as Kafka's own tools show it: librdkafka's base64 has the letters that names of files cannot."""
    return topic_id.replace("+", "-").replace("/", "_")
