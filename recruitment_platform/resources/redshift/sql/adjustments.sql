SELECT
    dates,
    hours,
    job_id,
    job_title,
    company_id,
    company_name,
    campaign_id,
    campaign_name,
    group_id,
    group_name,
    publisher_id,
    publisher_name,
    clicks,
    conversion,
    qualified_application,
    disqualified_application,
    spend_hour
FROM job_adjustments
WHERE dates BETWEEN CAST(:first AS DATE) AND CAST(:last AS DATE)
ORDER BY
    dates,
    hours,
    job_id,
    publisher_id,
    campaign_id,
    group_id,
    company_id
