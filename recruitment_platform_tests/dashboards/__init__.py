"""Tests of Grafana's dashboards."""
