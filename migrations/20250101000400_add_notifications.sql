-- +migrate Up

-- Who listens need not poll, whoever writes. jsruntime_pending is sent by the guard of new executions.
--   jsruntime_pending   ''                          there may be something to claim
--   jsruntime_cancel    execution id                a running execution is to be stopped
--   jsruntime_finished  execution ids, with commas  they have reached a final status
--   jsruntime_scripts   script id                   created, changed or deleted

CREATE FUNCTION jsruntime_notify_cancel() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('jsruntime_cancel', NEW.id::TEXT);
    RETURN NULL;
END
$$;

CREATE TRIGGER jsruntime_notify_cancel AFTER UPDATE OF cancel_requested_at ON script_executions
    FOR EACH ROW
    WHEN (NEW.status = 'running' AND OLD.cancel_requested_at IS NULL AND NEW.cancel_requested_at IS NOT NULL)
    EXECUTE FUNCTION jsruntime_notify_cancel();

-- A payload ends at 8000 bytes: 200 ids and their commas are 7399. What is final after an update became so in it,
-- since final rows are immutable, so that the old rows need not be looked at.
CREATE FUNCTION jsruntime_notify_finished() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('jsruntime_finished', ids)
    FROM (
        SELECT string_agg(id::TEXT, ',') AS ids
        FROM (
            SELECT id, row_number() OVER () AS nr FROM new_executions WHERE status NOT IN ('pending', 'running')
        ) AS finished
        GROUP BY (nr - 1) / 200
    ) AS payloads;
    RETURN NULL;
END
$$;

CREATE TRIGGER jsruntime_notify_finished AFTER UPDATE ON script_executions
    REFERENCING NEW TABLE AS new_executions
    FOR EACH STATEMENT EXECUTE FUNCTION jsruntime_notify_finished();

CREATE FUNCTION jsruntime_notify_script() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('jsruntime_scripts', COALESCE(NEW.id, OLD.id)::TEXT);
    -- Rows that waited for a script to become active, or for its concurrency to grow, may start now.
    IF TG_OP = 'UPDATE' THEN
        PERFORM pg_notify('jsruntime_pending', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER jsruntime_notify AFTER INSERT OR UPDATE OR DELETE ON scripts
    FOR EACH ROW EXECUTE FUNCTION jsruntime_notify_script();

-- +migrate Down

DROP TRIGGER jsruntime_notify ON scripts;
DROP TRIGGER jsruntime_notify_finished ON script_executions;
DROP TRIGGER jsruntime_notify_cancel ON script_executions;
DROP FUNCTION jsruntime_notify_script();
DROP FUNCTION jsruntime_notify_finished();
DROP FUNCTION jsruntime_notify_cancel();
