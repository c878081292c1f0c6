-- Console lines of executions.

-- name: insert
-- Lines of running executions; a line that is there already, or whose execution is gone, is left out.
INSERT INTO script_execution_logs (execution_id, tenant_id, seq, level, logged_at, message)
SELECT e.id, e.tenant_id, l.seq, l.level, to_timestamp(l.logged_at), l.message
FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::float8[], $5::text[])
    AS l(execution_id, seq, level, logged_at, message)
JOIN script_executions AS e ON e.id = l.execution_id
ON CONFLICT (execution_id, seq) DO NOTHING;

-- name: read
-- Lines of one execution of a tenant after a line number, in order.
SELECT seq, level, EXTRACT(EPOCH FROM logged_at)::float8 AS logged_at, message
FROM script_execution_logs
WHERE tenant_id = $1 AND execution_id = $2 AND seq > $3
ORDER BY seq
LIMIT $4;
