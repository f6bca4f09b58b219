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
FROM redshift_fact_events
WHERE dates BETWEEN CAST(:first AS DATE) AND CAST(:last AS DATE)
ORDER BY
    dates,
    hours,
    job_id,
    publisher_id,
    campaign_id,
    group_id,
    company_id
