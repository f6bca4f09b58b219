"""Tests of `recruitment_platform.ingest`."""
