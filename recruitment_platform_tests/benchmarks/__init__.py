"""Tests of the benchmarks: that what they compare comes to the same."""
