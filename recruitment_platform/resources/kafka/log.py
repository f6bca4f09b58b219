"""The event log before the lake: a topic of Kafka's, by librdkafka.

What belongs here: the topic and what it holds, writing to it, reading from it. What does not: settings and failures
(`session`), what messages say (`ingest.messages`), and how they get into the lake (`ingest.event_log`).
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.errors import PlatformError, SettingsError
from recruitment_platform.resources.kafka.session import (
    FORBIDDEN,
    LEADERLESS,
    MISSING,
    OUT_OF_RANGE,
    REFUSED,
    as_kafka_writes,
    connection,
    failure,
    reason,
)
from recruitment_platform.resources.kafka.sources import log_source

logger = logging.getLogger(__name__)
librdkafka = logging.getLogger(f"{__name__}.librdkafka")
# Its own log has several lines for each failure; what matters of it comes by `error_cb`. A lower level shows it.
librdkafka.setLevel(logging.CRITICAL + 1)

Troubles = deque[KafkaError]
"""What librdkafka last told of a client's connections: it keeps trying, and only says so."""

PATIENCE = 15.0
"""Seconds in which Kafka must answer a question: a broker that is started again needs some."""

READ_AT_ONCE = 10_000
"""Messages taken over from librdkafka in one call."""

BUFFER_KIB = 32 << 10
"""What librdkafka reads ahead at most; it holds no more than that while the lake is slow."""

DELIVERY_SECONDS = 120
"""How long a message may wait for a broker to take it."""

_PAUSE = 0.05


@dataclass(frozen=True)
class Topic:
    """The topic as it is now; one that is made again under its name has another `id`."""

    name: str
    id: str
    partitions: tuple[int, ...]

    def source(self, partition: int) -> str:
        """The source partition that the partition is to the lake."""
        return log_source(self.name, self.id, partition)


@dataclass(frozen=True)
class Fetched:
    """What one look at the log brought: by partition the offsets, ascending, and the messages' values.

    `ended` are partitions that were read to their end for now; `displaced` those whose next offset is no longer there.
    """

    messages: Mapping[int, tuple[list[int], list[bytes | None]]]
    ended: frozenset[int]
    displaced: frozenset[int]


def open_event_log(address: KafkaAddress) -> "KafkaEventLog":
    """The log at the address; Kafka itself is asked when something of it is needed.

    Raises SettingsError where the settings lack something, or librdkafka does not take them.
    """
    if not address.servers:
        raise SettingsError("there is no event log: set RECRUITMENT_KAFKA_SERVERS (and RECRUITMENT_PROFILE)")
    if address.security.startswith("sasl") and not (address.user and address.password):
        raise SettingsError(
            f"needed are RECRUITMENT_KAFKA_USER and RECRUITMENT_KAFKA_PASSWORD, with the protocol {address.security}"
        )
    if address.tls_ca is not None and not address.tls_ca.is_file():
        raise SettingsError(f"RECRUITMENT_KAFKA_TLS_CA: there is no file {address.tls_ca}")
    return KafkaEventLog(address)


@dataclass(frozen=True)
class KafkaEventLog:
    """A topic of events. Get one from `open_event_log`; it holds no connection open."""

    address: KafkaAddress

    def topic(self) -> Topic:
        """The topic as it is now; StoreUnavailableError where it is missing or Kafka does not answer."""
        with self._asking() as asking:
            return asking.topic(self.address.topic)

    def ranges(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """(first offset that is still there, offset of the next message to come) of each partition."""
        with self._asking() as asking:
            return asking.ranges(self.address.topic, partitions)

    def create_topic(self, partitions: int) -> bool:
        """Makes the topic where it is missing, with as many copies as the cluster's default says; whether it did."""
        name = self.address.topic
        with self._asking() as asking:
            try:
                asking.wait(asking.admin.create_topics([NewTopic(name, partitions, -1)])[name])
            except KafkaException as failed:
                if failed.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return False
                raise
            deadline = time.monotonic() + PATIENCE
            while True:
                # A broker knows of it a moment later than the controller.
                try:
                    asking.topic(name)
                except KafkaException:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_PAUSE)
                else:
                    return True

    @contextmanager
    def reader(self, *, in_group: bool) -> Iterator["LogReader"]:
        """A reader: of the partitions that the group gives it, or of those that `begin` names.

        One of the group leaves it at the end, so that the others need not wait for its silence.
        """
        with self._asking() as asking:
            consumer = self._consumer(asking.troubles)
            reader = LogReader(self, asking, consumer)
            try:
                if in_group:
                    reader.subscribe()
                yield reader
            finally:
                consumer.close()

    @contextmanager
    def writer(self) -> Iterator["LogWriter"]:
        """A writer: idempotent, so that a message that it sends again after a failure is in the topic once."""
        troubles: Troubles = deque(maxlen=20)
        producer = self._client(
            Producer,
            troubles,
            {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "zstd",
                "linger.ms": 50,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 128 << 10,
                "message.timeout.ms": DELIVERY_SECONDS * 1000,
                "topic.metadata.propagation.max.ms": 5_000,
                # Java's default, so that a visitor's events stay together whoever sends them.
                "partitioner": "murmur2_random",
                "delivery.report.only.error": True,
            },
        )
        try:
            yield LogWriter(self, producer, troubles)
        finally:
            # Where something has failed, what still waits is not waited for.
            producer.purge()
            producer.flush(_PAUSE)

    @contextmanager
    def _asking(self) -> Iterator["_Asking"]:
        troubles: Troubles = deque(maxlen=20)
        try:
            yield _Asking(self._client(AdminClient, troubles, {}), troubles)
        except KafkaException as failed:
            raise failure(self.address, failed.args[0], troubles) from None

    def _consumer(self, troubles: Troubles) -> Consumer:
        settings = {
            "group.id": self.address.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # The lake says where to begin. What is not there any more must be told, not skipped.
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": BUFFER_KIB,
            "fetch.wait.max.ms": 100,
        }
        consumer: Consumer = self._client(Consumer, troubles, settings)
        return consumer

    def _client(self, kind: type[Any], troubles: Troubles, settings: Mapping[str, Any]) -> Any:
        def told(error: KafkaError) -> None:
            logger.debug("%s", error)
            troubles.append(error)

        try:
            return kind({**connection(self.address), **settings, "logger": librdkafka, "error_cb": told})
        except KafkaException as failed:
            raise SettingsError(f"Kafka at {self.address.servers}: {reason(failed.args[0])}") from None


@dataclass(frozen=True)
class _Asking:
    """Questions to Kafka itself."""

    admin: AdminClient
    troubles: Troubles

    def wait(self, future: Future[Any]) -> Any:
        """The answer; KafkaException where it is an error, or none comes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return future.result(_PAUSE)
            except NotYet:
                self.admin.poll(0)  # what `error_cb` has to tell comes by this alone
                hopeless = next((one for one in self.troubles if one.code() in {*REFUSED, KafkaError._SSL}), None)
                if hopeless or time.monotonic() > deadline:
                    raise KafkaException(hopeless or KafkaError(KafkaError._TIMED_OUT, "no answer")) from None

    def topic(self, name: str) -> Topic:
        found = self.wait(self.admin.describe_topics(TopicCollection([name]))[name])
        partitions = tuple(sorted(partition.id for partition in found.partitions))
        return Topic(name, as_kafka_writes(str(found.topic_id)), partitions)

    def ranges(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        places = [TopicPartition(topic, number) for number in partitions]
        first, end = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return {place.partition: (self._offset(place, first), self._offset(place, end)) for place in places}

    def _offset(self, place: TopicPartition, edge: OffsetSpec) -> int:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                offset: int = self.wait(self.admin.list_offsets({place: edge})[place]).offset
            except KafkaException as failed:
                # Where leaders change, or a topic is new, a broker may not know yet.
                if failed.args[0].code() not in LEADERLESS or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return offset


@dataclass
class LogReader:
    """Reads messages from where it is told to begin. For one thread; get one from `KafkaEventLog.reader`.

    `rebalanced` is set where what it reads from is no longer what it was: nothing comes until `begin` is called.
    """

    log: KafkaEventLog
    asking: "_Asking" = field(repr=False)
    consumer: Consumer = field(repr=False)
    partitions: tuple[int, ...] = ()
    rebalanced: bool = False
    silence: float = 0.0

    def subscribe(self) -> None:
        """Joins the group; the partitions it gives come while reading."""

        def assign(consumer: Consumer, places: Sequence[TopicPartition]) -> None:
            # Nothing is read before the lake was asked where to begin.
            consumer.assign([])
            self.partitions = tuple(sorted(place.partition for place in places))
            self.rebalanced = True

        def revoke(consumer: Consumer, places: Sequence[TopicPartition]) -> None:
            consumer.unassign()
            self.partitions = ()
            self.rebalanced = True

        self.consumer.subscribe([self.log.address.topic], on_assign=assign, on_revoke=revoke, on_lost=revoke)

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Reads from these offsets of these partitions on, whatever was read before."""
        if offsets or self.consumer.assignment():
            topic = self.log.address.topic
            self.consumer.assign([TopicPartition(topic, number, offset) for number, offset in offsets.items()])
        self.rebalanced = False
        self.silence = 0.0

    def read(self, seconds: float) -> Fetched:
        """What comes within that time; SettingsError where we may not read, StoreUnavailableError where it is gone."""
        messages: dict[int, tuple[list[int], list[bytes | None]]] = {}
        ended: set[int] = set()
        displaced: set[int] = set()
        for message in self.consumer.consume(READ_AT_ONCE, seconds):
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is None:
                assert partition is not None
                assert offset is not None
                if partition not in messages:
                    messages[partition] = ([], [])
                offsets, values = messages[partition]
                offsets.append(offset)
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF and partition is not None:
                ended.add(partition)
            elif error.code() in OUT_OF_RANGE and partition is not None:
                displaced.add(partition)
            elif error.code() in FORBIDDEN or error.code() in MISSING or error.fatal():
                raise failure(self.log.address, error, self.asking.troubles)
            else:
                logger.info("Kafka: %s", error)
        refused = next((one for one in self.asking.troubles if one.code() in REFUSED), None)
        if refused is not None:
            raise failure(self.log.address, refused)
        self.silence = 0.0 if messages or ended else self.silence + seconds
        if messages:
            self.asking.troubles.clear()
        return Fetched(messages, frozenset(ended), frozenset(displaced))

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come for so long, ends of partitions included, that Kafka cannot be there."""
        return self.silence > PATIENCE

    def check_heard(self) -> None:
        """StoreUnavailableError where the log `is_silent`."""
        if self.is_silent:
            raise failure(self.log.address, KafkaError(KafkaError._TIMED_OUT, "nothing came"), self.asking.troubles)

    def topic(self) -> Topic:
        """The topic as it is now; errors as `KafkaEventLog.topic`."""
        with self._told():
            return self.asking.topic(self.log.address.topic)

    def ranges(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """As `KafkaEventLog.ranges`."""
        with self._told():
            return self.asking.ranges(self.log.address.topic, partitions)

    def rest(self, seconds: float) -> None:
        """Stays a member of the group for that time, reading nothing."""
        places = self.consumer.assignment()
        self.consumer.pause(places)
        message = self.consumer.poll(seconds)
        if message is not None and message.error() is None:
            # It was on its way already: it will be read again.
            self.rebalanced = True
        if not self.rebalanced:
            self.consumer.resume(places)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as failed:
            raise failure(self.log.address, failed.args[0], self.asking.troubles) from None

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tells Kafka how far the group has got, for its own tools to show the lag: we never start from there.

        Where Kafka does not take it, another member of the group will tell.
        """
        if offsets:
            topic = self.log.address.topic
            places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
            try:
                self.consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as failed:
                logger.info("Kafka does not take note of how far we are: %s", failed.args[0])


@dataclass
class LogWriter:
    """Writes messages, many at a time. For one thread; get one from `KafkaEventLog.writer`."""

    log: KafkaEventLog
    producer: Producer = field(repr=False)
    troubles: Troubles = field(repr=False)
    failed: int = 0
    why: KafkaError | None = None

    def write(self, keys: Iterable[bytes | None], values: Iterable[bytes]) -> None:
        """Hands the messages to librdkafka; waits where it has enough in hand. Errors as `flush`."""
        topic, produce = self.log.address.topic, self.producer.produce
        for key, value in zip(keys, values, strict=True):
            while True:
                try:
                    produce(topic, value, key, on_delivery=self._delivered)
                    break
                except BufferError:
                    self._wait()
                except KafkaException as refused:
                    self._note(refused.args[0])
                    break
        self.producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Returns when Kafka has all messages for certain, on as many brokers as it was told to have copies.

        Raises StoreUnavailableError or SettingsError, telling how many it did not take, where that is not so.
        """
        try:
            while self.producer.flush(_PAUSE):
                self._check()
        except KafkaException as fatal:
            raise self._failure(fatal.args[0]) from None
        self._check()

    def _wait(self) -> None:
        self.producer.poll(_PAUSE)
        self._check()

    def _check(self) -> None:
        refused = next((one for one in self.troubles if one.code() in REFUSED or one.fatal()), None)
        if refused is not None:
            raise self._failure(refused)
        if self.why is not None and not len(self.producer):
            raise self._failure(self.why)

    def _failure(self, why: KafkaError) -> PlatformError:
        # What still waits is given up, and counted by the reports that come of that.
        self.producer.purge()
        self.producer.poll(_PAUSE)
        told = failure(self.log.address, why, self.troubles)
        text = str(told)
        if why.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD):
            text = f"Kafka at {self.log.address.servers}: {reason(why)}"
        return type(told)(
            f"{text}; {self.failed:,} messages were not delivered: run the same command again, events that are in the "
            "topic already do no harm"
        )

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._note(error)

    def _note(self, error: KafkaError) -> None:
        self.failed += 1
        self.why = self.why or error
