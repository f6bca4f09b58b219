SELECT *
FROM job_adjustments
WHERE dates BETWEEN $first::DATE AND $last::DATE
ORDER BY
    dates,
    hours,
    job_id,
    publisher_id,
    campaign_id,
    group_id,
    company_id
