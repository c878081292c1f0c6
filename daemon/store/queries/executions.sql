-- Executions: submitting, looking, cancelling.

-- fragment: envelope
e.id, e.script_id, s.name AS script_name, e.tenant_id, e.status, e.trigger_type, e.script_version, e.attempt, e.priority,
    e.outcome, e.postmortem, e.error, e.daemon_id,
    COALESCE(e.trigger_data, '{}') AS trigger_data_json, COALESCE(e.metrics, '{}') AS metrics_json,
    EXTRACT(EPOCH FROM e.queued_at)::float8 AS queued_at,
    EXTRACT(EPOCH FROM e.run_at)::float8 AS run_at,
    -- The column has a default, so a row that never started has a time there as well.
    CASE WHEN e.attempt > 0 THEN EXTRACT(EPOCH FROM e.started_at)::float8 END AS started_at,
    EXTRACT(EPOCH FROM e.completed_at)::float8 AS completed_at

-- fragment: new_row
(script_id, tenant_id, status, trigger_type, trigger_data, input, priority, run_at, limits)

-- name: submit_by_id
-- One pending execution of a script given by its id.
INSERT INTO script_executions {{new_row}}
SELECT s.id, s.tenant_id, 'pending', $3, $4, $5, $6, now() + $7 * interval '1 millisecond', $8
FROM scripts AS s WHERE s.tenant_id = $1 AND s.id = $2
RETURNING id, script_id;

-- name: submit_by_name
-- One pending execution of a script given by its name.
INSERT INTO script_executions {{new_row}}
SELECT s.id, s.tenant_id, 'pending', $3, $4, $5, $6, now() + $7 * interval '1 millisecond', $8
FROM scripts AS s WHERE s.tenant_id = $1 AND s.name = $2
RETURNING id, script_id;

-- name: submit_by_source
-- One pending execution of the script made earlier for this inline source, none if there is no such script.
INSERT INTO script_executions {{new_row}}
SELECT s.id, s.tenant_id, 'pending', $3, $4, $5, $6, now() + $7 * interval '1 millisecond', $8
FROM scripts AS s WHERE s.tenant_id = $1 AND s.name = $2 AND s.source = $9
RETURNING id, script_id;

-- name: create_inline_script
-- The oneoff script of an inline source, unless another caller has made it in the meantime.
INSERT INTO scripts (tenant_id, organization_id, name, description, source, type, status)
VALUES ($1, $2, $3, 'Made for a submitted source.', $4, 'oneoff', 'active')
ON CONFLICT (tenant_id, name) DO NOTHING;

-- name: show
-- One execution of a tenant, with its input and output.
SELECT {{envelope}}, e.input AS input_json, e.output AS output_json
FROM script_executions AS e JOIN scripts AS s ON s.id = e.script_id
WHERE e.tenant_id = $1 AND e.id = $2;

-- name: finished
-- Those of the given executions, of any tenant, that have ended: for the daemon, which knows who waits for which.
SELECT {{envelope}}, e.input AS input_json, e.output AS output_json
FROM script_executions AS e JOIN scripts AS s ON s.id = e.script_id
WHERE e.id = ANY($1::uuid[]) AND e.status NOT IN ('pending', 'running');

-- name: list
-- A page of a tenant's executions, newest first, after the row whose queued_at and id are given.
SELECT {{envelope}}, e.queued_at AS queued_at_exact
FROM script_executions AS e JOIN scripts AS s ON s.id = e.script_id
WHERE e.tenant_id = $1
    AND ($2::uuid IS NULL OR e.script_id = $2)
    AND ($3::text IS NULL OR e.status = $3)
    AND (e.queued_at, e.id) < ($4::timestamptz, $5::uuid)
ORDER BY e.queued_at DESC, e.id DESC
LIMIT $6;

-- name: counts_by_status
-- How many executions a tenant has in each status.
SELECT status, count(*) AS executions FROM script_executions WHERE tenant_id = $1 GROUP BY status;

-- name: outlook
-- Whether executions are due that could not be claimed, and how many seconds until the next delayed one falls due.
SELECT EXISTS (SELECT 1 FROM script_executions WHERE status = 'pending' AND run_at <= now()) AS held_back,
       (SELECT EXTRACT(EPOCH FROM min(run_at) - now())::float8 FROM script_executions
        WHERE status = 'pending' AND run_at > now()) AS next_run_in;

-- name: lock_status
-- The status of one execution, held until the end of the transaction.
SELECT status FROM script_executions WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: cancel_pending
-- Ends an execution that has not started.
UPDATE script_executions
SET status = 'cancelled', outcome = 'cancelled', completed_at = now(),
    postmortem = 'cancelled before it started', cancel_requested_at = now()
WHERE tenant_id = $1 AND id = $2 AND status = 'pending';

-- name: cancel_running
-- Asks the daemon that runs an execution to stop it; a second request changes nothing.
UPDATE script_executions SET cancel_requested_at = now()
WHERE tenant_id = $1 AND id = $2 AND status = 'running' AND cancel_requested_at IS NULL;

-- name: cancel_requested
-- The executions of a daemon that are to be stopped: for a daemon that may have missed a notification.
SELECT id FROM script_executions
WHERE status = 'running' AND daemon_id = $1 AND cancel_requested_at IS NOT NULL;
