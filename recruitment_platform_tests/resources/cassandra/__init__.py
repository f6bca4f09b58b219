"""Tests of `recruitment_platform.resources.cassandra`."""
