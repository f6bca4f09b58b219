-- Tracking events as the messages that carry them: the columns as they came, each as a JSON text, nulls left out.
SELECT
    encode(nullif(uid, '')) AS key,
    encode(
        '{'
        || concat_ws(
            ',',
            '"create_time":' || to_json(create_time),
            '"bid":' || to_json(bid),
            '"bn":' || to_json(bn),
            '"campaign_id":' || to_json(campaign_id),
            '"cd":' || to_json(cd),
            '"custom_track":' || to_json(custom_track),
            '"de":' || to_json(de),
            '"dl":' || to_json(dl),
            '"dt":' || to_json(dt),
            '"ed":' || to_json(ed),
            '"ev":' || to_json(ev),
            '"group_id":' || to_json(group_id),
            '"id":' || to_json(id),
            '"job_id":' || to_json(job_id),
            '"md":' || to_json(md),
            '"publisher_id":' || to_json(publisher_id),
            '"rl":' || to_json(rl),
            '"sr":' || to_json(sr),
            '"ts":' || to_json(ts),
            '"tz":' || to_json(tz),
            '"ua":' || to_json(ua),
            '"uid":' || to_json(uid),
            '"utm_campaign":' || to_json(utm_campaign),
            '"utm_content":' || to_json(utm_content),
            '"utm_medium":' || to_json(utm_medium),
            '"utm_source":' || to_json(utm_source),
            '"utm_term":' || to_json(utm_term),
            '"v":' || to_json(v),
            '"vp":' || to_json(vp)
        )
        || '}'
    ) AS value
FROM events
