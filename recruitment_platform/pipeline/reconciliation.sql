-- Promise 1 by source and kind, of what the snapshot was taken from. An event counts where it first came: of its contents
-- the smallest payload_hash counts, the others are conflicts; every further arrival of a content is a duplicate.
WITH judged AS (
    SELECT
        source,
        kind,
        bid_micros,
        row_number() OVER (PARTITION BY create_time, payload_hash ORDER BY source, position) = 1 AS is_first,
        payload_hash = min(payload_hash) OVER (PARTITION BY create_time) AS is_counted
    FROM arrived
    WHERE is_in_snapshot
)

SELECT
    source,
    kind,
    count(*) AS accepted,
    count(*) FILTER (WHERE is_first AND is_counted) AS "distinct",
    count(*) FILTER (WHERE NOT is_first) AS duplicates,
    count(*) FILTER (WHERE is_first AND NOT is_counted) AS conflicts,
    coalesce(sum(bid_micros) FILTER (WHERE is_first AND is_counted AND kind = 'click'), 0)::BIGINT AS click_micros
FROM judged
GROUP BY
    source,
    kind
ORDER BY
    source,
    kind
