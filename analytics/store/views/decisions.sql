-- What the control plane decided, latest first: plans that were made, and looks that asked for none.
CREATE OR REPLACE VIEW decision_history AS
SELECT
    utc(made_at) AS decided,
    'plan' AS kind,
    plan_id,
    trigger AS because,
    moves,
    replicas,
    overrides,
    run_id
FROM plans
UNION ALL BY NAME
SELECT
    utc(evaluated_at) AS decided,
    'evaluation' AS kind,
    plan_id,
    because,
    replicas,
    verdicts,
    overrides
FROM evaluations
ORDER BY decided DESC;
