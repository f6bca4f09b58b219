"""Tests of the assets: what a run of days leaves in the stores, and what it tells of each day."""
