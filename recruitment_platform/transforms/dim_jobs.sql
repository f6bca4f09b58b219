-- The jobs as the operational tables hold them now: one row a job, the columns of dim_jobs that describe it.
-- Portable SQL: the relational store runs it as it is, on SQLite and on MySQL; column lineage is derived from it.
-- It needs `job` alone: what is missing elsewhere is null. Money is in micros. The table `group` is stored as job_group.
SELECT
    job.id AS job_id,
    job.title AS title,
    job.status AS status,
    COALESCE(job.company_id, campaign.company_id) AS company_id,
    company.name AS company_name,
    COALESCE(job.campaign_id, job_group.campaign_id) AS campaign_id,
    campaign.campaign_name AS campaign_name,
    job.group_id AS group_id,
    job_group.name AS group_name,
    master_major_category.major_category_name AS major_category,
    master_minor_category.minor_category_name AS minor_category,
    master_city.city_name AS city,
    job.budget AS budget,
    :currency AS currency
FROM job
LEFT JOIN job_group
    ON job_group.id = job.group_id
LEFT JOIN campaign
    ON campaign.id = COALESCE(job.campaign_id, job_group.campaign_id)
LEFT JOIN company
    ON company.id = COALESCE(job.company_id, campaign.company_id)
LEFT JOIN master_minor_category
    ON master_minor_category.id = job.minor_id
LEFT JOIN master_major_category
    ON master_major_category.id = master_minor_category.major_id
LEFT JOIN (
    SELECT
        job_location.job_id AS job_id,
        MIN(job_location.id) AS id
    FROM job_location
    GROUP BY job_location.job_id
) AS first_location
    ON first_location.job_id = job.id
LEFT JOIN job_location
    ON job_location.id = first_location.id
LEFT JOIN master_city
    ON master_city.id = job_location.city_id
