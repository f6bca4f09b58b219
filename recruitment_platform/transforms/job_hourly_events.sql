-- Hourly facts: countable events (rule 3), each with its job as the dimension knew it at the event's time (rule 4).
-- Reads the views raw_tracking and dim_jobs; `dt` comes last: the engines partition the files by it.
--
-- This text runs on Spark (ANSI mode) as it is, and on DuckDB transpiled. So that both give the same rows and types:
-- money stays integer micros until the last step, division is that of integers, every result is cast.
--
-- Counts by measure, a number: the kind that it stands for would cost Spark a string object for each event.
WITH countable AS (
    SELECT
        e.event_date AS dates,
        e.event_hour AS hours,
        COALESCE(e.resolved_job_id, 0) AS job_id,
        COALESCE(e.resolved_publisher_id, 0) AS publisher_id,
        COALESCE(e.campaign_id, j.campaign_id, 0) AS campaign_id,
        COALESCE(e.group_id, j.group_id, 0) AS group_id,
        COALESCE(j.company_id, 0) AS company_id,
        e.measure AS measure,
        e.bid_micros AS bid_micros,
        e.received_at AS received_at
    FROM raw_tracking AS e
    LEFT JOIN dim_jobs AS j
        ON
            e.resolved_job_id = j.job_id
            AND j.valid_from <= e.event_time
            AND (j.valid_to IS NULL OR e.event_time < j.valid_to)
    WHERE e.measure <> 0
),

hourly AS (
    SELECT
        dates,
        hours,
        job_id,
        publisher_id,
        campaign_id,
        group_id,
        company_id,
        COUNT(CASE WHEN measure = 1 THEN 1 END) AS clicks,
        COUNT(CASE WHEN measure = 2 THEN 1 END) AS conversion,
        COUNT(CASE WHEN measure = 3 THEN 1 END) AS qualified_application,
        COUNT(CASE WHEN measure = 4 THEN 1 END) AS disqualified_application,
        CAST(SUM(CASE WHEN measure = 1 THEN bid_micros ELSE 0 END) AS BIGINT) AS spend_micros,
        MAX(received_at) AS latest_update_time
    FROM countable
    GROUP BY dates, hours, job_id, publisher_id, campaign_id, group_id, company_id
)

SELECT
    CAST(job_id AS INT) AS job_id,
    CAST(publisher_id AS INT) AS publisher_id,
    CAST(campaign_id AS INT) AS campaign_id,
    CAST(group_id AS INT) AS group_id,
    CAST(company_id AS INT) AS company_id,
    CAST(dates AS DATE) AS dates,
    CAST(hours AS INT) AS hours,
    CAST(clicks AS BIGINT) AS clicks,
    CAST(conversion AS BIGINT) AS conversion,
    CAST(qualified_application AS BIGINT) AS qualified_application,
    CAST(disqualified_application AS BIGINT) AS disqualified_application,
    CAST(CAST(spend_micros AS DECIMAL(18, 0)) * CAST(0.000001 AS DECIMAL(6, 6)) AS DECIMAL(18, 6)) AS spend_hour,
    -- Cents, half up: floor(spend / clicks + 1/2) in integers. No click is no spend, so GREATEST makes that 0.
    CAST(
        CAST((2 * spend_micros + 10000 * clicks) DIV (20000 * GREATEST(clicks, 1)) AS DECIMAL(16, 0))
        * CAST(0.01 AS DECIMAL(2, 2)) AS DECIMAL(18, 2)
    ) AS bid_set,
    CAST(NULL AS BIGINT) AS impressions,
    CAST(:sources AS STRING) AS sources,
    CAST(latest_update_time AS TIMESTAMP) AS latest_update_time,
    CAST(dates AS DATE) AS dt
FROM hourly
