"""The names of the event log's source partitions, and what their positions are in Kafka's own count.

What belongs here: names and numbers alone, so that who shows or compares them needs no client of Kafka's.
"""

PREFIX = "kafka:"


def log_source(topic: str, topic_id: str, partition: int) -> str:
    """The source partition `kafka:<topic>/<partition>@<topic id>`.

    A topic that is deleted and made again counts its offsets from 0 again: by its id it is another source, so that
    nothing of it passes for known.
    """
    return f"{PREFIX}{topic}/{partition}@{topic_id}"


def is_of_topic(source: str, topic_id: str) -> bool:
    """Whether the source partition belongs to the topic with that id."""
    return source.startswith(PREFIX) and source.endswith(f"@{topic_id}")


def position_of(offset: int) -> int:
    """A message's position in its source: the lake counts from 1, Kafka from 0."""
    return offset + 1


def shown_positions(source: str, first: int, last: int) -> str:
    """A range of positions for people: of the event log as the offsets that Kafka's own tools ask for."""
    if source.startswith(PREFIX):
        return f"offsets {first - 1} to {last - 1}"
    return f"{first} to {last}"


def shown_position(source: str, position: int) -> str:
    """One position for people, counted as `shown_positions` does."""
    return f"offset {position - 1}" if source.startswith(PREFIX) else str(position)
