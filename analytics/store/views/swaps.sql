-- How long hotswaps took, by the tier of the model swapped in and by whether there was a gap in
-- service: none where both models fit at once, planned ones and switches within a grant apart.
-- Committed ones only; a start is no hotswap.
CREATE OR REPLACE VIEW swap_times AS
SELECT
    coalesce(kind, 'planned') AS kind,
    from_tier,
    coalesce(service_gap_s, 0) > 0 AS with_gap,
    count(*) AS swaps,
    quantile_cont(total_s, 0.5) AS total_p50_s,
    quantile_cont(total_s, 0.99) AS total_p99_s,
    quantile_cont(coalesce(service_gap_s, 0), 0.5) AS gap_p50_s,
    quantile_cont(coalesce(service_gap_s, 0), 0.99) AS gap_p99_s,
    sum(handed_back)::BIGINT AS handed_back
FROM swaps
WHERE outcome = 'committed' AND from_model IS NOT NULL
GROUP BY ALL
ORDER BY total_p50_s;

-- Seconds of committed hotswaps, by where and to what: what swap costs are learned from.
CREATE OR REPLACE VIEW swap_seconds AS
SELECT
    host,
    to_model AS model,
    from_tier AS tier,
    count(*) AS swaps,
    quantile_cont(total_s, 0.5) AS median_s
FROM swaps
WHERE outcome = 'committed' AND from_model IS NOT NULL
GROUP BY ALL
ORDER BY host, model, tier;

-- Hotswaps of the last hour that failed since one to the same model succeeded on that host.
CREATE OR REPLACE VIEW swap_setbacks AS
WITH committed AS (
    SELECT host, to_model, max(ended_at) AS committed_at
    FROM swaps
    WHERE outcome = 'committed'
    GROUP BY ALL
)
SELECT host, to_model AS model, count(*) AS times, max(ended_at) AS last_at
FROM swaps
LEFT JOIN committed USING (host, to_model)
WHERE outcome IN ('rolled_back', 'failed')
    AND ended_at > epoch(now()) - 3600
    AND ended_at > coalesce(committed_at, 0)
GROUP BY ALL
ORDER BY last_at DESC;

-- Hotswaps that ended in the last window_s seconds, planned ones and switches within a grant apart:
-- how many on each host, how long they took and how long requests had waited for a switch.
CREATE OR REPLACE MACRO swap_activity(window_s) AS TABLE
SELECT
    host,
    coalesce(kind, 'planned') AS kind,
    count(*) FILTER (outcome = 'committed') AS committed,
    count(*) FILTER (outcome IN ('rolled_back', 'failed')) AS failed,
    quantile_cont(total_s, 0.5) FILTER (outcome = 'committed') AS took_p50_s,
    quantile_cont(waited_s, 0.5) AS waited_p50_s,
    sum(handed_back)::BIGINT AS handed_back,
    arg_max(to_model, ended_at) AS latest_model,
    max(ended_at) AS latest_at
FROM swaps
WHERE ended_at > epoch(now()) - window_s
GROUP BY ALL
ORDER BY host, kind;
