-- What the gateway holds now, and what each host does now.

-- Requests without a slot and with one, per model and class: the gateway's latest sample if it is
-- fresh (5 s), and the requests that arrived after it and have not ended, which count as waiting.
CREATE OR REPLACE VIEW present_load AS
WITH clock AS (
    SELECT epoch(now()) AS now_s
),
latest AS (
    SELECT
        model,
        request_class,
        max(sampled_at) AS sampled_at,
        arg_max(waiting, sampled_at) AS waiting,
        arg_max(running, sampled_at) AS running
    FROM gateway_samples, clock
    WHERE sampled_at > now_s - 5
    GROUP BY ALL
),
since AS (
    SELECT arrival.model, arrival.request_class, count(*) AS waiting
    FROM request_arrivals AS arrival
    CROSS JOIN clock
    LEFT JOIN latest USING (model, request_class)
    WHERE arrival.arrived_at > epoch(now()) - 5  -- without joins: skips all that is older
        AND arrival.arrived_at > coalesce(latest.sampled_at, now_s - 5)
        AND arrival.request_id NOT IN (
            SELECT request_id FROM requests WHERE ended_at > epoch(now()) - 10
        )
    GROUP BY ALL
)
SELECT
    model,
    request_class,
    coalesce(latest.waiting, 0) + coalesce(since.waiting, 0) AS waiting,
    coalesce(latest.running, 0) AS running
FROM latest
FULL JOIN since USING (model, request_class);

-- The latest sample of every host, and how old it is.
CREATE OR REPLACE VIEW present_hosts AS
SELECT *, epoch(now()) - sampled_at AS age_s
FROM engine_samples
QUALIFY row_number() OVER (PARTITION BY host ORDER BY sampled_at DESC) = 1;
