"""Tests of the simulator: its traffic, its truth, and the pipeline scored on it."""
