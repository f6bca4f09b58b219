"""Tests of the real servers as processes."""
