"""Tests of recruitment_platform; the folders mirror the package."""
