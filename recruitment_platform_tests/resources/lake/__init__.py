"""Tests of `recruitment_platform.resources.lake`."""
