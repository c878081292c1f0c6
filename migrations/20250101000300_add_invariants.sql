-- +migrate Up

-- The business rules, kept by the database whoever writes. Two kinds of refusal:
--   check_violation (23514): a value is not allowed; the error's COLUMN names the field.
--   object_not_in_prerequisite_state (55000): the row is in a state that does not allow the change.

-- Limits ---------------------------------------------------------------------------------------------

-- Refuses limits that are no object or hold a known key with anything but an integer in its range.
-- Unknown keys are left alone: later versions and host applications may add their own.
CREATE FUNCTION jsruntime_check_limits(limits JSONB, field TEXT) RETURNS VOID
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    rule RECORD;
    value JSONB;
BEGIN
    IF jsonb_typeof(limits) <> 'object' THEN
        RAISE EXCEPTION '% must be a JSON object, not %', field, jsonb_typeof(limits)
            USING ERRCODE = 'check_violation', COLUMN = field, HINT = 'For example {"max_execution_time_ms": 30000}.';
    END IF;
    FOR rule IN
        SELECT * FROM (VALUES
            ('max_execution_time_ms', 1, 86400000),
            ('max_memory_bytes', 8388608, 17179869184),
            ('max_concurrent_runs', 1, 100000),
            ('max_api_calls_per_minute', 1, 1000000),
            ('max_output_size_bytes', 1, 67108864)
        ) AS known(key, lowest, highest)
    LOOP
        value := limits -> rule.key;
        CONTINUE WHEN value IS NULL;
        -- CASE, because AND and OR do not promise an order and the cast fails on what is no number.
        IF (CASE WHEN jsonb_typeof(value) = 'number'
                 THEN (value #>> '{}')::NUMERIC % 1 <> 0
                      OR (value #>> '{}')::NUMERIC NOT BETWEEN rule.lowest AND rule.highest
                 ELSE TRUE END)
        THEN
            RAISE EXCEPTION '%.% is %; allowed is an integer from % to %',
                field, rule.key, left(value::TEXT, 100), rule.lowest, rule.highest
                USING ERRCODE = 'check_violation', COLUMN = field;
        END IF;
    END LOOP;
END
$$;

-- Scripts --------------------------------------------------------------------------------------------

-- NOT VALID: a host may have older rows that break a rule; they stay as they are until they are written again.
ALTER TABLE scripts
    ADD CONSTRAINT scheduled_scripts_require_cron_expression
        CHECK (type <> 'scheduled' OR COALESCE(cron_expression, '') ~ '\S') NOT VALID,
    ADD CONSTRAINT http_scripts_require_http_path
        CHECK (type <> 'http' OR COALESCE(http_path, '') ~ '\S') NOT VALID,
    ADD CONSTRAINT event_scripts_require_event_types
        CHECK (type <> 'event' OR COALESCE(cardinality(event_types), 0) >= 1) NOT VALID;

-- Status moves: draft → active → paused | disabled → archived. Also draft → archived and active → archived
-- (a script that is not wanted any more need not be paused first), and paused | disabled → active (resume).
-- archived is final. A new script may start in any status but archived: an application that copies a paused
-- script from elsewhere need not activate it for a moment first.
CREATE FUNCTION jsruntime_guard_script() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
DECLARE
    allowed CONSTANT JSONB := '{"draft": ["active", "archived"], "active": ["paused", "disabled", "archived"],
        "paused": ["active", "archived"], "disabled": ["active", "archived"], "archived": []}';
BEGIN
    -- The seed lets these be null, the data model does not.
    NEW.metadata := COALESCE(NEW.metadata, '{}');
    NEW.tags := COALESCE(NEW.tags, ARRAY[]::TEXT[]);
    NEW.created_at := COALESCE(NEW.created_at, NOW());

    IF TG_OP = 'INSERT' THEN
        NEW.updated_at := COALESCE(NEW.updated_at, NEW.created_at);
        IF NEW.status = 'archived' THEN
            RAISE EXCEPTION 'script "%" cannot start as archived', NEW.name
                USING ERRCODE = 'check_violation', COLUMN = 'status', HINT = 'Start it as draft or active.';
        END IF;
        PERFORM jsruntime_check_limits(NEW.resource_limits, 'resource_limits');
        RETURN NEW;
    END IF;

    NEW.updated_at := NOW();
    IF NEW.tenant_id <> OLD.tenant_id THEN
        RAISE EXCEPTION 'script "%" cannot move from tenant % to tenant %', OLD.name, OLD.tenant_id, NEW.tenant_id
            USING ERRCODE = 'object_not_in_prerequisite_state', COLUMN = 'tenant_id',
                  HINT = 'Create a script of the same source for the other tenant.';
    END IF;
    IF NEW.status <> OLD.status AND NOT allowed -> OLD.status ? NEW.status THEN
        RAISE EXCEPTION 'script "%" cannot go from % to %', OLD.name, OLD.status, NEW.status
            USING ERRCODE = 'object_not_in_prerequisite_state', COLUMN = 'status',
                  HINT = format('From %s it can go to: %s.', OLD.status, COALESCE(
                      (SELECT string_agg(target, ', ') FROM jsonb_array_elements_text(allowed -> OLD.status) AS target),
                      'nothing, it is final'));
    END IF;
    IF NEW.resource_limits IS DISTINCT FROM OLD.resource_limits THEN
        PERFORM jsruntime_check_limits(NEW.resource_limits, 'resource_limits');
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER jsruntime_guard BEFORE INSERT OR UPDATE ON scripts
    FOR EACH ROW EXECUTE FUNCTION jsruntime_guard_script();

-- Versions -------------------------------------------------------------------------------------------

-- Every source that a script ever had becomes a version. The author is the setting jsruntime.author (a user's
-- id), else who created the script; the description is the setting jsruntime.change_description.
CREATE FUNCTION jsruntime_write_version() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    -- Concurrent changes of one script cannot collide: whoever gets here holds the lock on its row.
    INSERT INTO script_versions (script_id, tenant_id, version_number, source, change_description, created_by)
    SELECT NEW.id, NEW.tenant_id, COALESCE(MAX(version_number), 0) + 1, NEW.source,
           NULLIF(current_setting('jsruntime.change_description', TRUE), ''),
           COALESCE(NULLIF(current_setting('jsruntime.author', TRUE), '')::INTEGER, NEW.created_by)
    FROM script_versions WHERE script_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER jsruntime_version_on_insert AFTER INSERT ON scripts
    FOR EACH ROW EXECUTE FUNCTION jsruntime_write_version();
CREATE TRIGGER jsruntime_version_on_change AFTER UPDATE OF source ON scripts
    FOR EACH ROW WHEN (OLD.source IS DISTINCT FROM NEW.source) EXECUTE FUNCTION jsruntime_write_version();

-- Scripts that were there before this migration get their version 1.
INSERT INTO script_versions (script_id, tenant_id, version_number, source, created_by)
SELECT id, tenant_id, 1, source, created_by FROM scripts
WHERE NOT EXISTS (SELECT FROM script_versions WHERE script_id = scripts.id);

-- A version is the next of its script, of its tenant, and a snapshot of its present source: the latest version
-- is always what runs.
CREATE FUNCTION jsruntime_guard_new_version() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
DECLARE
    script scripts%ROWTYPE;
    latest INTEGER;
BEGIN
    SELECT * INTO script FROM scripts WHERE id = NEW.script_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NEW;  -- the foreign key says it better
    END IF;
    SELECT COALESCE(MAX(version_number), 0) INTO latest FROM script_versions WHERE script_id = NEW.script_id;
    IF NEW.version_number <> latest + 1 THEN
        RAISE EXCEPTION 'version_number % of script "%" is out of sequence; the next is %',
            NEW.version_number, script.name, latest + 1
            USING ERRCODE = 'check_violation', COLUMN = 'version_number',
                  HINT = 'Update scripts.source; the version is then written for you.';
    END IF;
    IF NEW.tenant_id <> script.tenant_id THEN
        RAISE EXCEPTION 'tenant_id % is not the tenant of script "%" (%)', NEW.tenant_id, script.name, script.tenant_id
            USING ERRCODE = 'check_violation', COLUMN = 'tenant_id';
    END IF;
    IF NEW.source <> script.source THEN
        RAISE EXCEPTION 'a new version of script "%" must have the source that the script has now', script.name
            USING ERRCODE = 'check_violation', COLUMN = 'source',
                  HINT = 'Update scripts.source; the version is then written for you.';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER jsruntime_guard_insert BEFORE INSERT ON script_versions
    FOR EACH ROW EXECUTE FUNCTION jsruntime_guard_new_version();

CREATE FUNCTION jsruntime_guard_old_version() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM scripts WHERE id = OLD.script_id) THEN
        RETURN OLD;  -- the script itself is being deleted, and its history with it
    END IF;
    RAISE EXCEPTION 'version % of script % is immutable', OLD.version_number, OLD.script_id
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'A change of scripts.source writes a new version; versions go only with their script.';
END
$$;

CREATE TRIGGER jsruntime_guard_history BEFORE UPDATE OR DELETE ON script_versions
    FOR EACH ROW EXECUTE FUNCTION jsruntime_guard_old_version();

-- Executions -----------------------------------------------------------------------------------------

ALTER TABLE script_executions
    ADD CONSTRAINT completed_at_is_set_exactly_when_finished
        CHECK ((completed_at IS NULL) = (status IN ('pending', 'running'))) NOT VALID,
    ADD CONSTRAINT outcome_is_set_only_when_finished
        CHECK (outcome IS NULL OR status NOT IN ('pending', 'running')) NOT VALID;

-- New rows, checked once a statement so that a bulk insert stays one join. Wakes the daemons.
CREATE FUNCTION jsruntime_guard_new_executions() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
DECLARE
    wrong RECORD;
BEGIN
    SELECT n.id, n.status, n.tenant_id, n.script_id, s.name, s.status AS script_status, s.tenant_id AS script_tenant
    INTO wrong
    FROM new_executions AS n JOIN scripts AS s ON s.id = n.script_id
    WHERE n.status <> 'pending' OR s.tenant_id <> n.tenant_id OR s.status <> 'active'
    LIMIT 1;
    IF wrong.status <> 'pending' THEN
        RAISE EXCEPTION 'a new execution must be pending, not %', wrong.status
            USING ERRCODE = 'check_violation', COLUMN = 'status';
    ELSIF wrong.script_tenant <> wrong.tenant_id THEN
        RAISE EXCEPTION 'tenant_id % is not the tenant of script %', wrong.tenant_id, wrong.script_id
            USING ERRCODE = 'check_violation', COLUMN = 'tenant_id';
    ELSIF wrong.script_status <> 'active' THEN
        RAISE EXCEPTION 'script "%" is %; only an active script can be executed', wrong.name, wrong.script_status
            USING ERRCODE = 'object_not_in_prerequisite_state', COLUMN = 'script_id',
                  HINT = CASE wrong.script_status WHEN 'archived' THEN 'An archived script cannot be activated again.'
                         ELSE 'Set its status to active first.' END;
    END IF;
    PERFORM jsruntime_check_limits(limits, 'limits') FROM new_executions WHERE limits IS NOT NULL;
    IF EXISTS (SELECT FROM new_executions) THEN
        PERFORM pg_notify('jsruntime_pending', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER jsruntime_guard_insert AFTER INSERT ON script_executions
    REFERENCING NEW TABLE AS new_executions
    FOR EACH STATEMENT EXECUTE FUNCTION jsruntime_guard_new_executions();

-- Moves: pending → running | cancelled; running → running (another daemon takes over) | completed | failed |
-- timeout | cancelled. Reaching a final status sets completed_at where the writer left it null.
CREATE FUNCTION jsruntime_guard_execution_move() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (OLD.status = 'pending' AND NEW.status IN ('running', 'cancelled')
            OR OLD.status = 'running' AND NEW.status IN ('completed', 'failed', 'timeout', 'cancelled')) THEN
        RAISE EXCEPTION 'execution % cannot go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'object_not_in_prerequisite_state', COLUMN = 'status',
                  HINT = CASE OLD.status WHEN 'pending' THEN 'From pending it can go to: running, cancelled.'
                         WHEN 'running' THEN 'From running it can go to: completed, failed, timeout, cancelled.'
                         ELSE 'It has finished; submit a new execution.' END;
    END IF;
    IF NEW.status <> 'running' THEN
        NEW.completed_at := COALESCE(NEW.completed_at, NOW());
    END IF;
    RETURN NEW;
END
$$;

-- The condition lets through what is legal and needs nothing set, which is all that a daemon writes.
CREATE TRIGGER jsruntime_guard_move BEFORE UPDATE ON script_executions
    FOR EACH ROW
    WHEN (OLD.status <> NEW.status
          AND NOT (OLD.status = 'pending' AND NEW.status = 'running')
          AND NOT (OLD.status = 'running' AND NEW.status <> 'pending' AND NEW.completed_at IS NOT NULL))
    EXECUTE FUNCTION jsruntime_guard_execution_move();

CREATE FUNCTION jsruntime_refuse_execution_change() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'execution % is %: %', OLD.id, OLD.status, TG_ARGV[0]
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Submit a new execution.';
END
$$;

CREATE TRIGGER jsruntime_guard_result BEFORE UPDATE ON script_executions
    FOR EACH ROW
    WHEN (OLD.status NOT IN ('pending', 'running') AND OLD.status = NEW.status AND OLD IS DISTINCT FROM NEW)
    EXECUTE FUNCTION jsruntime_refuse_execution_change('a finished execution is immutable');

CREATE TRIGGER jsruntime_guard_submission
    BEFORE UPDATE OF id, script_id, tenant_id, input, limits, trigger_type, trigger_data, queued_at ON script_executions
    FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.script_id <> NEW.script_id OR OLD.tenant_id <> NEW.tenant_id
          OR OLD.input IS DISTINCT FROM NEW.input OR OLD.limits IS DISTINCT FROM NEW.limits
          OR OLD.trigger_type <> NEW.trigger_type OR OLD.trigger_data IS DISTINCT FROM NEW.trigger_data
          OR OLD.queued_at <> NEW.queued_at)
    EXECUTE FUNCTION jsruntime_refuse_execution_change('what was submitted (script, tenant, input, limits, trigger) is immutable');

-- Rules that older rows of a host may break stay NOT VALID for them; on a fresh database they become valid at once.
DO $$
DECLARE
    rule RECORD;
BEGIN
    FOR rule IN
        SELECT conrelid::REGCLASS AS owner, conname FROM pg_constraint
        WHERE conrelid IN ('scripts'::REGCLASS, 'script_executions'::REGCLASS) AND contype = 'c' AND NOT convalidated
    LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', rule.owner, rule.conname);
        EXCEPTION WHEN check_violation THEN
            RAISE NOTICE 'rows of % that break % stay as they are until they are written again', rule.owner, rule.conname;
        END;
    END LOOP;
END
$$;

-- +migrate Down

DROP TRIGGER jsruntime_guard_submission ON script_executions;
DROP TRIGGER jsruntime_guard_result ON script_executions;
DROP TRIGGER jsruntime_guard_move ON script_executions;
DROP TRIGGER jsruntime_guard_insert ON script_executions;
DROP TRIGGER jsruntime_guard_history ON script_versions;
DROP TRIGGER jsruntime_guard_insert ON script_versions;
DROP TRIGGER jsruntime_version_on_change ON scripts;
DROP TRIGGER jsruntime_version_on_insert ON scripts;
DROP TRIGGER jsruntime_guard ON scripts;
DROP FUNCTION jsruntime_refuse_execution_change();
DROP FUNCTION jsruntime_guard_execution_move();
DROP FUNCTION jsruntime_guard_new_executions();
DROP FUNCTION jsruntime_guard_old_version();
DROP FUNCTION jsruntime_guard_new_version();
DROP FUNCTION jsruntime_write_version();
DROP FUNCTION jsruntime_guard_script();
DROP FUNCTION jsruntime_check_limits(JSONB, TEXT);
ALTER TABLE script_executions
    DROP CONSTRAINT outcome_is_set_only_when_finished,
    DROP CONSTRAINT completed_at_is_set_exactly_when_finished;
ALTER TABLE scripts
    DROP CONSTRAINT event_scripts_require_event_types,
    DROP CONSTRAINT http_scripts_require_http_path,
    DROP CONSTRAINT scheduled_scripts_require_cron_expression;
