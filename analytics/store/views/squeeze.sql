-- What interactive work took from batch over the last window_s seconds, one row a model: batch
-- generations held, and hosts whose batch was held to the interactive cap, as means over the window.
CREATE OR REPLACE MACRO squeezed_batch(window_s) AS TABLE
WITH by_host AS (
    SELECT
        host,
        awake_model AS model,
        avg(coalesce(held_batch, 0)) AS held,
        avg((running_interactive + waiting_interactive > 0)::INT) AS capped,
        avg(interactive_cap) FILTER (running_interactive + waiting_interactive > 0) AS cap
    FROM engine_samples
    WHERE sampled_at > epoch(now()) - window_s AND awake_model IS NOT NULL AND phase = 'serving'
    GROUP BY ALL
)
SELECT
    model,
    sum(held) AS held,
    sum(capped) AS capped_replicas,
    sum(cap * capped) FILTER (capped > 0) / nullif(sum(capped), 0) AS mean_cap
FROM by_host
GROUP BY ALL;
