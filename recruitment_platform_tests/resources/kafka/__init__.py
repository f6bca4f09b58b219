"""Tests of `recruitment_platform.resources.kafka`."""
