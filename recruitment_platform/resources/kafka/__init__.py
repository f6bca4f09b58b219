"""The event log before the lake: Kafka."""
