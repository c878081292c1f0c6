-- Daemons and their leases.

-- name: register
-- A daemon that begins to serve.
INSERT INTO daemons (id, host, boot_id, pid_namespace, pid, pid_started_ticks, version, lease_expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8 * interval '1 second');

-- name: heartbeat
-- Renews a lease. One that ran out is renewed too, unless another daemon has noticed in the meantime.
UPDATE daemons SET heartbeat_at = now(), lease_expires_at = now() + $2 * interval '1 second'
WHERE id = $1 AND stopped_at IS NULL
RETURNING id;

-- name: stop
-- Daemons that serve no more; what they run may be taken over.
UPDATE daemons SET stopped_at = now() WHERE id = ANY($1::uuid[]) AND stopped_at IS NULL RETURNING id;

-- name: neighbours
-- The daemons whose processes can be seen from here: same boot of the same kernel, same pid namespace.
SELECT id, pid, pid_started_ticks FROM daemons
WHERE host = $1 AND boot_id = $2 AND pid_namespace = $3 AND stopped_at IS NULL;

-- name: forget
-- Daemons that stopped long ago and run nothing any more.
DELETE FROM daemons AS d
WHERE d.stopped_at < now() - $1 * interval '1 second'
    AND NOT EXISTS (SELECT FROM script_executions AS e WHERE e.status = 'running' AND e.daemon_id = d.id);
