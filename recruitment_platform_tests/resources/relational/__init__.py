"""Tests of `recruitment_platform.resources.relational`."""
