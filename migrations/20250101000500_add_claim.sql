-- +migrate Up

-- How a daemon gets work. Everything that starts executions runs under one advisory lock, held to the end of
-- the transaction: counting what runs and starting more is then one step for every daemon, and
-- max_concurrent_runs holds exactly.

-- All that a worker is given for one execution.
CREATE TYPE jsruntime_claimed AS (
    id UUID,
    script_id UUID,
    tenant_id UUID,
    script_name TEXT,
    script_type TEXT,
    source TEXT,
    script_version INTEGER,
    input JSONB,
    trigger_type TEXT,
    trigger_data JSONB,
    resource_limits JSONB,
    limits JSONB,
    attempt INTEGER,
    fencing_token BIGINT,
    queue_ms DOUBLE PRECISION,
    run_at TIMESTAMP WITH TIME ZONE,
    log_seq INTEGER
);

-- How many runs of a script may be under way; 5, as the column's default says, where an older row has no
-- usable number.
CREATE FUNCTION jsruntime_max_concurrent_runs(limits JSONB) RETURNS BIGINT
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(limits -> 'max_concurrent_runs') = 'number'
                THEN LEAST(GREATEST(FLOOR((limits ->> 'max_concurrent_runs')::NUMERIC), 0), 100000)::BIGINT
                ELSE 5 END
$$;

-- Takes the lock for a daemon that serves. One that others hold for dead may start nothing more: they would at
-- once take it over.
CREATE FUNCTION jsruntime_lock_claims(daemon UUID) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('jsruntime claims', 0));
    IF NOT EXISTS (SELECT FROM daemons WHERE id = daemon AND stopped_at IS NULL) THEN
        RAISE EXCEPTION 'daemon % is not registered, or lost its lease', daemon
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Register it again under a new id.';
    END IF;
END
$$;

-- Starts the given executions, those that are still in `from_status` and that nobody else is writing just now,
-- for a daemon: one attempt more, a new fencing token. In the order given.
CREATE FUNCTION jsruntime_start(daemon UUID, from_status TEXT, ids UUID[], moment TIMESTAMP WITH TIME ZONE)
RETURNS SETOF jsruntime_claimed
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    WITH free AS (
        SELECT e.id, wanted.nr
        FROM unnest(ids) WITH ORDINALITY AS wanted(id, nr) JOIN script_executions AS e ON e.id = wanted.id
        WHERE e.status = from_status
        FOR UPDATE OF e SKIP LOCKED
    ), started AS (
        UPDATE script_executions AS e
        SET status = 'running',
            started_at = moment,
            attempt = e.attempt + 1,
            fencing_token = nextval('jsruntime_fencing_tokens'),
            daemon_id = daemon,
            script_version = (SELECT MAX(version_number) FROM script_versions WHERE script_id = e.script_id)
        FROM free WHERE e.id = free.id
        RETURNING e.*, free.nr
    )
    SELECT e.id, e.script_id, e.tenant_id, s.name::TEXT, s.type::TEXT, s.source, e.script_version,
           COALESCE(e.input, '{}'), e.trigger_type::TEXT, COALESCE(e.trigger_data, '{}'), s.resource_limits, e.limits,
           e.attempt, e.fencing_token,
           GREATEST(EXTRACT(EPOCH FROM moment - GREATEST(e.queued_at, e.run_at)) * 1000, 0)::DOUBLE PRECISION,
           e.run_at,
           CASE WHEN e.attempt > 1
                THEN COALESCE((SELECT MAX(seq) FROM script_execution_logs WHERE execution_id = e.id), 0)
                ELSE 0 END
    FROM started AS e JOIN scripts AS s ON s.id = e.script_id
    ORDER BY e.nr;
END
$$;

-- Which pending executions come next, at most `max_rows`, best first; none of `skipped`.
--
-- From script to script through idx_executions_claim (a loose index scan: one probe for each script that has
-- pending rows, however many rows it has), then the head of each active script, no more than it may still
-- start. Tenants take turns: a tenant's first row comes before any other's second, what runs already counting.
-- Within a turn: priority, then run_at.
--
-- The walk begins at a random script and ends after 1000: with more scripts waiting than that, each claim sees
-- another part of them and none is left out for long.
--
-- The settings, and orders that no other index has, pin the plan to idx_executions_claim, whatever the statistics
-- say: a queue's tables change faster than they are analyzed.
CREATE FUNCTION jsruntime_candidates(max_rows INTEGER, skipped UUID[], moment TIMESTAMP WITH TIME ZONE)
RETURNS UUID[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_incremental_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    start UUID := gen_random_uuid();
BEGIN
    RETURN (
        WITH RECURSIVE waiting(script_id, wrapped, nr) AS (
            SELECT start, FALSE, 0
            UNION ALL
            SELECT COALESCE(following.script_id, '00000000-0000-0000-0000-000000000000'),
                   w.wrapped OR following.script_id IS NULL,
                   w.nr + 1
            FROM waiting AS w LEFT JOIN LATERAL (
                SELECT e.script_id FROM script_executions AS e
                WHERE e.status = 'pending' AND e.script_id > w.script_id
                ORDER BY e.script_id, e.priority DESC, e.run_at, e.id LIMIT 1
            ) AS following ON TRUE
            WHERE w.nr <= 1000
              AND NOT (w.wrapped AND (following.script_id IS NULL OR following.script_id > start))
        ), heads AS (
            SELECT e.id, s.tenant_id, e.priority, e.run_at
            FROM waiting AS w
            CROSS JOIN LATERAL (
                -- LIMIT keeps the planner at one probe a script.
                SELECT id, tenant_id, resource_limits FROM scripts
                WHERE id = w.script_id AND status = 'active' LIMIT 1
            ) AS s
            CROSS JOIN LATERAL (
                SELECT jsruntime_max_concurrent_runs(s.resource_limits) - count(*) AS free_runs
                FROM script_executions AS r WHERE r.status = 'running' AND r.script_id = s.id
            ) AS runs
            CROSS JOIN LATERAL (
                SELECT p.id, p.priority, p.run_at FROM script_executions AS p
                WHERE p.status = 'pending' AND p.script_id = s.id AND p.run_at <= moment AND p.id <> ALL (skipped)
                ORDER BY p.priority DESC, p.run_at, p.id
                LIMIT GREATEST(LEAST(runs.free_runs, max_rows), 0)
            ) AS e
        ), load AS MATERIALIZED (
            SELECT tenant_id, count(*) AS running FROM script_executions WHERE status = 'running' GROUP BY tenant_id
        ), tenants AS MATERIALIZED (
            SELECT tenant_id, COALESCE((SELECT running FROM load WHERE load.tenant_id = h.tenant_id), 0) AS running
            FROM (SELECT DISTINCT tenant_id FROM heads) AS h
        ), turns AS (
            SELECT h.*, t.running + row_number() OVER (
                PARTITION BY h.tenant_id ORDER BY h.priority DESC, h.run_at, h.id) AS turn
            FROM heads AS h JOIN tenants AS t ON t.tenant_id = h.tenant_id
        )
        SELECT COALESCE(array_agg(best.id ORDER BY best.turn, best.priority DESC, best.run_at, best.id), '{}')
        FROM (SELECT * FROM turns ORDER BY turn, priority DESC, run_at, id LIMIT max_rows) AS best
    );
END
$$;

-- Claims at most `max_rows` pending executions for a daemon.
CREATE FUNCTION jsruntime_claim(daemon UUID, max_rows INTEGER) RETURNS SETOF jsruntime_claimed
LANGUAGE plpgsql AS $$
DECLARE
    moment TIMESTAMP WITH TIME ZONE;
    picked UUID[];
    skipped UUID[] := '{}';
    remaining INTEGER := max_rows;
    started INTEGER;
BEGIN
    PERFORM jsruntime_lock_claims(daemon);
    moment := clock_timestamp();  -- not now(): waiting for the lock may have taken a while
    -- More than one round only where another transaction holds rows that were picked.
    FOR round IN 1..3 LOOP
        picked := jsruntime_candidates(remaining, skipped, moment);
        EXIT WHEN cardinality(picked) = 0;
        -- Started now, not at `moment`: an end that made room for one of them may be later than that.
        RETURN QUERY SELECT * FROM jsruntime_start(daemon, 'pending', picked, clock_timestamp());
        GET DIAGNOSTICS started = ROW_COUNT;
        EXIT WHEN started = cardinality(picked);
        remaining := remaining - started;
        skipped := skipped || picked;
    END LOOP;
END
$$;

-- The running executions whose daemon is gone: it has stopped, or was never registered.
-- At most `max_rows`, the longest running first; those that another transaction holds are left out.
CREATE FUNCTION jsruntime_orphans(max_rows INTEGER, wanted TEXT)
RETURNS SETOF UUID
LANGUAGE sql AS $$
    SELECT e.id
    FROM script_executions AS e
    JOIN scripts AS s ON s.id = e.script_id
    LEFT JOIN daemons AS d ON d.id = e.daemon_id
    WHERE e.status = 'running' AND (d.id IS NULL OR d.stopped_at IS NOT NULL)
      AND wanted = CASE WHEN e.cancel_requested_at IS NOT NULL THEN 'cancel'
                        WHEN e.attempt >= 3 OR s.metadata ->> 'delivery' = 'at_most_once' THEN 'fail'
                        ELSE 'take_over' END
    ORDER BY e.started_at, e.id
    LIMIT max_rows
    FOR UPDATE OF e SKIP LOCKED
$$;

-- Takes over at most `max_rows` executions of daemons that are gone: they stay running, one attempt more.
CREATE FUNCTION jsruntime_take_over(daemon UUID, max_rows INTEGER) RETURNS SETOF jsruntime_claimed
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM jsruntime_lock_claims(daemon);
    RETURN QUERY SELECT * FROM jsruntime_start(
        daemon, 'running', ARRAY(SELECT jsruntime_orphans(max_rows, 'take_over')), clock_timestamp());
END
$$;

-- +migrate Down

DROP FUNCTION jsruntime_take_over(UUID, INTEGER);
DROP FUNCTION jsruntime_orphans(INTEGER, TEXT);
DROP FUNCTION jsruntime_claim(UUID, INTEGER);
DROP FUNCTION jsruntime_candidates(INTEGER, UUID[], TIMESTAMP WITH TIME ZONE);
DROP FUNCTION jsruntime_start(UUID, TEXT, UUID[], TIMESTAMP WITH TIME ZONE);
DROP FUNCTION jsruntime_lock_claims(UUID);
DROP FUNCTION jsruntime_max_concurrent_runs(JSONB);
DROP TYPE jsruntime_claimed;
