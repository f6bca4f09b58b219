"""Tests of `recruitment_platform.servers`."""
