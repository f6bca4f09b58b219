"""A Dagster asset-based data platform for recruitment sites: tracking events in, hourly facts per job out."""
