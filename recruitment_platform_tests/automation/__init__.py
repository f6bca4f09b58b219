"""Tests of jobs, schedules and runs: from the command line, and through the real web page and daemon."""
