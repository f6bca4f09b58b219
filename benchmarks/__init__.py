"""Measurements, from outside, of what the README tells: run by `make bench` and, with a judgement, by `make soak`."""
