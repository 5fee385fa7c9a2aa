-- The latest batch-size profile of every model and hardware, one row a batch size.
CREATE OR REPLACE VIEW batch_size_profiles AS
SELECT utc(measured_at) AS measured, * EXCLUDE (measured_at)
FROM batch_size_points
QUALIFY measured_at = max(measured_at) OVER (PARTITION BY model, hardware)
ORDER BY model, hardware, batch_size;
