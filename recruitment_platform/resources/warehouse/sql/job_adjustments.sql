-- The adjustments of closed days, each row once, with names as job_performance has them. One text for DuckDB and
-- Redshift.
CREATE OR REPLACE VIEW job_adjustments AS
WITH jobs AS (
    SELECT
        job_id,
        title
    FROM (
        SELECT
            *,
            row_number() OVER (PARTITION BY job_id ORDER BY valid_from DESC) AS newest
        FROM dim_jobs
    ) AS versions
    WHERE newest = 1
),

companies AS (
    SELECT
        company_id,
        company_name
    FROM (
        SELECT
            company_id,
            company_name,
            row_number() OVER (PARTITION BY company_id ORDER BY valid_from DESC, job_id DESC) AS newest
        FROM dim_jobs
        WHERE company_name IS NOT NULL
    ) AS versions
    WHERE newest = 1
),

campaigns AS (
    SELECT
        campaign_id,
        campaign_name
    FROM (
        SELECT
            campaign_id,
            campaign_name,
            row_number() OVER (PARTITION BY campaign_id ORDER BY valid_from DESC, job_id DESC) AS newest
        FROM dim_jobs
        WHERE campaign_name IS NOT NULL
    ) AS versions
    WHERE newest = 1
),

job_groups AS (
    SELECT
        group_id,
        group_name
    FROM (
        SELECT
            group_id,
            group_name,
            row_number() OVER (PARTITION BY group_id ORDER BY valid_from DESC, job_id DESC) AS newest
        FROM dim_jobs
        WHERE group_name IS NOT NULL
    ) AS versions
    WHERE newest = 1
),

publishers AS (
    SELECT
        publisher_id,
        max(publisher_name) AS publisher_name
    FROM dim_publishers
    GROUP BY publisher_id
)

SELECT
    adjustments.dates,
    adjustments.hours,
    adjustments.job_id,
    jobs.title AS job_title,
    adjustments.company_id,
    companies.company_name,
    adjustments.campaign_id,
    campaigns.campaign_name,
    adjustments.group_id,
    job_groups.group_name,
    adjustments.publisher_id,
    publishers.publisher_name,
    adjustments.clicks,
    adjustments.conversion,
    adjustments.qualified_application,
    adjustments.disqualified_application,
    adjustments.spend_hour
FROM fact_adjustments AS adjustments
LEFT JOIN jobs ON adjustments.job_id = jobs.job_id
LEFT JOIN companies ON adjustments.company_id = companies.company_id
LEFT JOIN campaigns ON adjustments.campaign_id = campaigns.campaign_id
LEFT JOIN job_groups ON adjustments.group_id = job_groups.group_id
LEFT JOIN publishers ON adjustments.publisher_id = publishers.publisher_id
