-- What analysts read: each fact row once, with the names that its ids carry now. One text for DuckDB and Redshift.
-- The ids are the fact's own (as of the event's time); a name is that of the newest version of dim_jobs that has one for
-- the id, so a job that left the site keeps its name. Each name is looked up by one row per id: no fact row doubles.
CREATE OR REPLACE VIEW job_performance AS
WITH jobs AS (
    SELECT
        job_id,
        title,
        major_category,
        minor_category,
        city
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
    facts.dates,
    facts.hours,
    facts.job_id,
    jobs.title AS job_title,
    jobs.major_category,
    jobs.minor_category,
    jobs.city,
    facts.company_id,
    companies.company_name,
    facts.campaign_id,
    campaigns.campaign_name,
    facts.group_id,
    job_groups.group_name,
    facts.publisher_id,
    publishers.publisher_name,
    facts.clicks,
    facts.conversion,
    facts.qualified_application,
    facts.disqualified_application,
    facts.spend_hour,
    facts.bid_set,
    facts.impressions,
    facts.latest_update_time
FROM redshift_fact_events AS facts
LEFT JOIN jobs ON facts.job_id = jobs.job_id
LEFT JOIN companies ON facts.company_id = companies.company_id
LEFT JOIN campaigns ON facts.campaign_id = campaigns.campaign_id
LEFT JOIN job_groups ON facts.group_id = job_groups.group_id
LEFT JOIN publishers ON facts.publisher_id = publishers.publisher_id
