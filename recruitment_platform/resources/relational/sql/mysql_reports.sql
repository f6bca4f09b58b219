-- The names by which the analysts' view knows its tables in the warehouse: so one text makes it here too.
CREATE OR REPLACE VIEW redshift_fact_events AS
SELECT
    job_id,
    publisher_id,
    campaign_id,
    group_id,
    company_id,
    dates,
    hours,
    clicks,
    conversion,
    qualified_application,
    disqualified_application,
    spend_hour,
    bid_set,
    impressions,
    sources,
    latest_update_time
FROM events;

CREATE OR REPLACE VIEW dim_publishers AS
SELECT
    id AS publisher_id,
    publisher_name,
    publisher_type,
    publisher_status
FROM master_publisher;
