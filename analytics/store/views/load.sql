-- Offered load: what arrived, in buckets of bucket_s seconds from since_s to until_s (epoch seconds,
-- multiples of bucket_s), one row a bucket, model and class that had anything.
-- A request without an end is present as long as the gateway has any of its model and class:
-- a gateway that died leaves arrivals that never end.
CREATE OR REPLACE MACRO load_buckets(since_s, until_s, bucket_s) AS TABLE
WITH ends AS (
    SELECT request_id, ended_at FROM requests WHERE ended_at >= since_s
),
spans AS (
    SELECT
        arrival.model,
        arrival.request_class,
        greatest(arrived_at, since_s) AS from_s,
        least(
            until_s,
            coalesce(ended_at, CASE WHEN waiting + running > 0 THEN until_s ELSE arrived_at END)
        ) AS to_s
    FROM request_arrivals AS arrival
    LEFT JOIN ends USING (request_id)
    LEFT JOIN present_load USING (model, request_class)
    WHERE arrived_at >= since_s - 3600 AND arrived_at < until_s
        AND (arrived_at >= since_s OR ended_at IS NOT NULL OR waiting + running > 0)
),
uncovered AS (
    -- Each span less what earlier ones cover: disjoint, so their lengths add up.
    SELECT
        model,
        request_class,
        greatest(from_s, coalesce(max(to_s) OVER before, from_s)) AS from_s,
        to_s
    FROM spans
    WINDOW before AS (
        PARTITION BY model, request_class
        ORDER BY from_s
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
cut AS (
    SELECT
        *,
        unnest(range(floor(from_s / bucket_s)::BIGINT, ceil(to_s / bucket_s)::BIGINT)) AS bucket
    FROM uncovered
    WHERE to_s > from_s
),
busy AS (
    SELECT
        model,
        request_class,
        bucket,
        sum(least(to_s, (bucket + 1) * bucket_s) - greatest(from_s, bucket * bucket_s)) AS busy_s
    FROM cut
    GROUP BY ALL
),
steps AS (
    SELECT model, request_class, from_s AS at_s, 1 AS step FROM spans
    UNION ALL
    SELECT model, request_class, to_s, -1 FROM spans
),
levels AS (
    SELECT
        model,
        request_class,
        at_s,
        sum(step) OVER (PARTITION BY model, request_class ORDER BY at_s, step) AS present
    FROM steps
),
peaks AS (
    SELECT model, request_class, floor(at_s / bucket_s)::BIGINT AS bucket, max(present) AS peak
    FROM levels
    WHERE at_s < until_s
    GROUP BY ALL
),
arrived AS (
    SELECT
        model, request_class, floor(arrived_at / bucket_s)::BIGINT AS bucket, count(*) AS arrivals
    FROM request_arrivals
    WHERE arrived_at >= since_s AND arrived_at < until_s
    GROUP BY ALL
),
finished AS (
    SELECT
        model,
        request_class,
        floor(ended_at / bucket_s)::BIGINT AS bucket,
        count(*) AS ended,
        sum(prompt_tokens + output_tokens) AS tokens,
        sum((prompt_tokens + output_tokens) ** 2) AS squared_tokens
    FROM requests
    WHERE ended_at >= since_s AND ended_at < until_s AND prompt_tokens + output_tokens > 0
    GROUP BY ALL
)
SELECT
    bucket,
    model,
    request_class,
    coalesce(arrivals, 0)::DOUBLE AS arrivals,
    coalesce(ended, 0)::DOUBLE AS ended,
    coalesce(tokens, 0)::DOUBLE AS tokens,
    coalesce(squared_tokens, 0)::DOUBLE AS squared_tokens,
    coalesce(busy_s, 0)::DOUBLE AS busy_s,
    coalesce(peak, 0)::DOUBLE AS concurrency
FROM arrived
FULL JOIN finished USING (model, request_class, bucket)
FULL JOIN busy USING (model, request_class, bucket)
FULL JOIN peaks USING (model, request_class, bucket)
ORDER BY bucket;

-- Arrivals in slots of slot_s seconds, for the shape of days and weeks.
CREATE OR REPLACE MACRO arrivals_by_slot(since_s, until_s, slot_s) AS TABLE
SELECT
    floor(arrived_at / slot_s)::BIGINT AS bucket,
    model,
    request_class,
    count(*)::DOUBLE AS arrivals
FROM request_arrivals
WHERE arrived_at >= since_s AND arrived_at < until_s
GROUP BY ALL
ORDER BY bucket;

-- Batch requests of the last day that have not ended, one row a model. Of those without a recorded
-- end only as many as the gateway has now, the latest. due_requests_per_s: the least rate at which
-- all deadlines are kept, taking the earliest first.
CREATE OR REPLACE VIEW batch_backlog AS
WITH clock AS (
    SELECT epoch(now()) AS now_s
),
unended AS (
    SELECT
        model,
        arrived_at + deadline_s AS deadline_at,
        row_number() OVER (PARTITION BY model ORDER BY arrived_at DESC) AS place
    FROM request_arrivals
    WHERE request_class = 'batch' AND arrived_at > epoch(now()) - 86400
        AND request_id NOT IN (
            SELECT request_id FROM requests WHERE ended_at > epoch(now()) - 86400
        )
),
present AS (
    SELECT unended.model, deadline_at
    FROM unended
    JOIN present_load ON present_load.model = unended.model AND request_class = 'batch'
    WHERE place <= waiting + running
),
due AS (
    SELECT
        model,
        deadline_at,
        count(*) OVER (PARTITION BY model ORDER BY deadline_at) / greatest(deadline_at - now_s, 1)
            AS requests_per_s
    FROM present, clock
    WHERE deadline_at IS NOT NULL
)
SELECT
    model,
    count(*) AS requests,
    count(deadline_at) AS with_deadline,
    min(deadline_at) - any_value(now_s) AS first_deadline_in_s,
    coalesce(any_value(due_requests_per_s), 0.0) AS due_requests_per_s
FROM present
CROSS JOIN clock
LEFT JOIN (
    SELECT model, max(requests_per_s) AS due_requests_per_s FROM due GROUP BY ALL
) USING (model)
GROUP BY ALL;
