"""Tests of the stores: conformance suites that run on every implementation, and what is peculiar to one."""
