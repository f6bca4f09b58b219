-- What the facts as computed have beyond those that were billed, by their key: fewer is negative, and what is the same is
-- left out. As a full join of the two on the key, whose rows it is unique in. Money is summed in micros.
WITH both_sides AS (
    SELECT
        *,
        1 AS sign
    FROM computed
    UNION ALL BY NAME
    SELECT
        *,
        -1 AS sign
    FROM billed
),

differences AS (
    SELECT
        job_id,
        publisher_id,
        campaign_id,
        group_id,
        company_id,
        dates,
        hours,
        CAST(sum(sign * clicks) AS BIGINT) AS clicks,
        CAST(sum(sign * conversion) AS BIGINT) AS conversion,
        CAST(sum(sign * qualified_application) AS BIGINT) AS qualified_application,
        CAST(sum(sign * disqualified_application) AS BIGINT) AS disqualified_application,
        CAST(sum(sign * CAST(spend_hour * 1000000 AS BIGINT)) AS BIGINT) AS spend_micros
    FROM both_sides
    GROUP BY ALL
)

SELECT
    * EXCLUDE (spend_micros),
    CAST(CAST(spend_micros AS DECIMAL(18, 0)) * CAST(0.000001 AS DECIMAL(6, 6)) AS DECIMAL(18, 6)) AS spend_hour
FROM differences
WHERE
    clicks <> 0
    OR conversion <> 0
    OR qualified_application <> 0
    OR disqualified_application <> 0
    OR spend_micros <> 0
ORDER BY
    hours,
    job_id,
    publisher_id,
    campaign_id,
    group_id,
    company_id
