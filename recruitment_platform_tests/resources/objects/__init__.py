"""Tests of `recruitment_platform.resources.objects`."""
