-- Executions: giving them to daemons, and writing down how they ended.

-- fragment: claimed
id, script_id, tenant_id, script_name, script_type, source, script_version, input AS input_json, trigger_type,
    trigger_data AS trigger_data_json, resource_limits AS resource_limits_json, limits AS limits_json, attempt,
    fencing_token, queue_ms, EXTRACT(EPOCH FROM run_at)::float8 AS run_at, log_seq

-- name: claim
-- The pending executions that come next, now running on this daemon.
SELECT {{claimed}} FROM jsruntime_claim($1, $2);

-- name: complete
-- The endings of one daemon and their last console lines, each only where the daemon still holds the execution.
WITH ended AS (
    UPDATE script_executions AS e
    SET status = r.status, outcome = r.outcome, output = r.output, error = r.error, postmortem = r.postmortem,
        metrics = r.metrics, completed_at = GREATEST(now(), e.started_at)
    FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[], $9::jsonb[])
        AS r(id, fencing_token, status, outcome, output, error, postmortem, metrics)
    WHERE e.id = r.id AND e.status = 'running' AND e.fencing_token = r.fencing_token AND e.daemon_id = $1
    RETURNING e.id, e.tenant_id
), lines AS (
    INSERT INTO script_execution_logs (execution_id, tenant_id, seq, level, logged_at, message)
    SELECT ended.id, ended.tenant_id, l.seq, l.level, to_timestamp(l.logged_at), l.message
    FROM unnest($10::uuid[], $11::integer[], $12::text[], $13::float8[], $14::text[])
        AS l(execution_id, seq, level, logged_at, message)
    JOIN ended ON ended.id = l.execution_id
    ON CONFLICT (execution_id, seq) DO NOTHING
)
SELECT id FROM ended;

-- name: lock_claims
-- Claims and rescues wait for each other from here to the end of the transaction.
SELECT jsruntime_lock_claims($1);

-- name: expire_leases
-- The other daemons whose lease is over lose what they run; their next heartbeat tells them.
UPDATE daemons SET stopped_at = now() WHERE stopped_at IS NULL AND lease_expires_at < now() AND id <> $1;

-- name: end_orphans
-- Ends what a daemon left running and nobody may run again: a cancel was asked for, or it must not run twice, or
-- it has taken three daemons with it.
WITH orphans AS (
    SELECT id, TRUE AS cancelled FROM jsruntime_orphans(1000, 'cancel') AS id
    UNION ALL
    SELECT id, FALSE FROM jsruntime_orphans(1000, 'fail') AS id
)
UPDATE script_executions AS e
SET status = CASE WHEN o.cancelled THEN 'cancelled' ELSE 'failed' END,
    outcome = CASE WHEN o.cancelled THEN 'cancelled' ELSE 'worker_lost' END,
    error = CASE WHEN NOT o.cancelled THEN 'The daemon that ran this execution is gone.' END,
    postmortem = CASE
        WHEN o.cancelled THEN 'cancelled; the daemon that ran it was gone before it could confirm'
        WHEN e.attempt >= 3 THEN format('lost with its daemon on attempt %s of 3', e.attempt)
        ELSE format('lost with its daemon on attempt %s; delivery is at_most_once, so it is not run again', e.attempt)
    END,
    completed_at = GREATEST(now(), e.started_at)
FROM orphans AS o WHERE e.id = o.id
RETURNING e.id;

-- name: take_over
-- The executions that daemons left running, now running on this one.
SELECT {{claimed}} FROM jsruntime_take_over($1, $2);

-- name: retake
-- Executions that a daemon has lost and still holds, started again by the rules of a rescue.
SELECT {{claimed}} FROM jsruntime_start(
    $1, 'running',
    ARRAY(SELECT mine.id FROM (
        SELECT e.id FROM script_executions AS e JOIN scripts AS s ON s.id = e.script_id
        WHERE e.id = ANY($2::uuid[]) AND e.status = 'running' AND e.daemon_id = $1
            AND e.cancel_requested_at IS NULL AND e.attempt < 3
            AND s.metadata ->> 'delivery' IS DISTINCT FROM 'at_most_once'
        FOR UPDATE OF e SKIP LOCKED
    ) AS mine),
    clock_timestamp());
