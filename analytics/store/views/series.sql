-- History: one row a minute, one row a swap. Minutes and times are UTC.
CREATE OR REPLACE MACRO utc(seconds) AS make_timestamp((seconds * 1000000)::BIGINT);
CREATE OR REPLACE MACRO minute_of(seconds) AS date_trunc('minute', utc(seconds));

CREATE OR REPLACE VIEW traffic_per_minute AS
WITH arrived AS (
    SELECT minute_of(arrived_at) AS minute, model, request_class, count(*) AS arrivals
    FROM request_arrivals
    GROUP BY ALL
),
finished AS (
    SELECT
        minute_of(ended_at) AS minute,
        model,
        request_class,
        count(*) AS ended,
        count(*) FILTER (outcome = 'failed' OR status >= 500) AS failed,
        sum(prompt_tokens) / 60 AS prompt_tokens_per_s,
        sum(output_tokens) / 60 AS output_tokens_per_s,
        quantile_cont(ttft_s, 0.5) AS ttft_p50_s,
        quantile_cont(ttft_s, 0.95) AS ttft_p95_s,
        quantile_cont(tpot_s, 0.5) AS tpot_p50_s,
        quantile_cont(tpot_s, 0.95) AS tpot_p95_s,
        sum(evictions)::BIGINT AS evictions,
        sum(recomputed_tokens)::BIGINT AS recomputed_tokens,
        sum(saved_tokens)::BIGINT AS saved_tokens,
        sum(held_s) AS held_s
    FROM requests
    GROUP BY ALL
)
SELECT
    minute,
    model,
    request_class,
    coalesce(arrivals, 0) AS arrivals,
    coalesce(ended, 0) AS ended,
    coalesce(failed, 0) AS failed,
    coalesce(prompt_tokens_per_s, 0.0) AS prompt_tokens_per_s,
    coalesce(output_tokens_per_s, 0.0) AS output_tokens_per_s,
    ttft_p50_s,
    ttft_p95_s,
    tpot_p50_s,
    tpot_p95_s,
    coalesce(evictions, 0) AS evictions,
    coalesce(recomputed_tokens, 0) AS recomputed_tokens,
    coalesce(saved_tokens, 0) AS saved_tokens,
    coalesce(held_s, 0.0) AS held_s
FROM arrived
FULL JOIN finished USING (minute, model, request_class)
ORDER BY minute, model, request_class DESC;

CREATE OR REPLACE VIEW evictions_per_minute AS
SELECT
    minute_of(evicted_at) AS minute,
    host,
    model,
    reason,
    count(*) AS evictions,
    count(*) FILTER (in_place) AS in_place,
    sum(kept_tokens)::BIGINT AS kept_tokens
FROM evictions
GROUP BY ALL
ORDER BY minute, host, model, reason;

CREATE OR REPLACE VIEW swap_history AS
SELECT utc(ended_at) AS ended, * EXCLUDE (ended_at)
FROM swaps
ORDER BY ended DESC;
