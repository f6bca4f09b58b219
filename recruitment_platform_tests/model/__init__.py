"""Tests of the contracts, the door and the schemas."""
