"""Tests of recruitment_platform.pipeline."""
