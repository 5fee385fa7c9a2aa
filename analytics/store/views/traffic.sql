-- One row per model and class over the last window_s seconds.
-- Times and tokens are of requests that ended in the window; a failure is an outcome of `failed`
-- or any status of 500 and above.
CREATE OR REPLACE MACRO model_traffic(window_s) AS TABLE
WITH clock AS (
    SELECT epoch(now()) AS now_s
),
arrived AS (
    SELECT model, request_class, count(*) AS arrivals
    FROM request_arrivals, clock
    WHERE arrived_at > now_s - window_s
    GROUP BY ALL
),
finished AS (
    SELECT
        model,
        request_class,
        count(*) AS ended,
        count(*) FILTER (outcome = 'failed' OR status >= 500) AS failed,
        sum(prompt_tokens) / window_s AS prompt_tokens_per_s,
        sum(output_tokens) / window_s AS output_tokens_per_s,
        quantile_cont(ttft_s, 0.5) AS ttft_p50_s,
        quantile_cont(ttft_s, 0.95) AS ttft_p95_s,
        quantile_cont(tpot_s, 0.5) AS tpot_p50_s,
        quantile_cont(tpot_s, 0.95) AS tpot_p95_s,
        quantile_cont(queue_s, 0.95) AS queue_p95_s,
        sum(recomputed_tokens)::BIGINT AS recomputed_tokens,
        sum(held_s) AS held_s
    FROM requests, clock
    WHERE ended_at > now_s - window_s
    GROUP BY ALL
),
classes AS (
    SELECT request_id, any_value(request_class) AS request_class
    FROM request_arrivals
    WHERE request_id IN (
        SELECT request_id FROM evictions, clock WHERE evicted_at > now_s - window_s
    )
    GROUP BY ALL
),
evicted AS (
    -- An eviction names its request only; without a recorded arrival it is batch work.
    SELECT
        model,
        coalesce(request_class, 'batch') AS request_class,
        count(*) AS evictions,
        count(*) FILTER (in_place) AS evictions_in_place
    FROM evictions
    CROSS JOIN clock
    LEFT JOIN classes USING (request_id)
    WHERE evicted_at > now_s - window_s
    GROUP BY ALL
)
SELECT
    model,
    request_class,
    window_s::DOUBLE AS window_s,
    coalesce(arrivals, 0) AS arrivals,
    coalesce(ended, 0) AS ended,
    coalesce(failed, 0) AS failed,
    coalesce(waiting, 0) AS waiting,
    coalesce(running, 0) AS running,
    coalesce(prompt_tokens_per_s, 0.0) AS prompt_tokens_per_s,
    coalesce(output_tokens_per_s, 0.0) AS output_tokens_per_s,
    ttft_p50_s,
    ttft_p95_s,
    tpot_p50_s,
    tpot_p95_s,
    queue_p95_s,
    coalesce(evictions, 0) AS evictions,
    coalesce(recomputed_tokens, 0) AS recomputed_tokens,
    coalesce(evictions_in_place, 0) AS evictions_in_place,
    coalesce(held_s, 0.0) AS held_s,
    coalesce(squeezed.held, 0.0) AS held,
    coalesce(squeezed.capped_replicas, 0.0) AS capped_replicas,
    squeezed.mean_cap
FROM arrived
FULL JOIN finished USING (model, request_class)
FULL JOIN evicted USING (model, request_class)
FULL JOIN present_load USING (model, request_class)
LEFT JOIN (SELECT *, 'batch' AS request_class FROM squeezed_batch(window_s)) AS squeezed
    USING (model, request_class)
ORDER BY model, request_class DESC;
