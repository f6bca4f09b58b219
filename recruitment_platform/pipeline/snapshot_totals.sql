-- What the day's snapshot is reconciled by (promise 1), one row.
SELECT
    count(*) FILTER (WHERE is_counted) AS distinct_events,
    coalesce(sum(arrivals - 1), 0)::BIGINT AS duplicates,
    count(*) FILTER (WHERE NOT is_counted) AS conflicts,
    count(*) FILTER (WHERE is_counted AND time_source = 'create_time') AS fallback_times,
    count(*) FILTER (WHERE is_counted AND custom_track IN ('click', 'clicks') AND coalesce(resolved_job_id, 0) = 0)
        AS clicks_without_job,
    count(*) FILTER (WHERE is_counted AND custom_track IN ('click', 'clicks') AND has_no_bid) AS clicks_without_bid,
    count(*) FILTER (
        WHERE is_counted AND (create_time, event_date) IN (
            SELECT (ids_on_two_days.create_time, ids_on_two_days.event_date)
            FROM ids_on_two_days
        )
    ) AS ids_on_two_days
FROM arrivals
