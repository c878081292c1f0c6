-- +migrate Up

-- What a queue needs beyond the history that script_executions keeps.

ALTER TABLE script_executions
    ADD COLUMN queued_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    ADD COLUMN run_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    ADD COLUMN priority INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN fencing_token BIGINT,
    ADD COLUMN daemon_id UUID,
    ADD COLUMN script_version INTEGER,
    ADD COLUMN cancel_requested_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN outcome TEXT,
    ADD COLUMN postmortem TEXT,
    ADD COLUMN limits JSONB;

COMMENT ON COLUMN script_executions.queued_at IS 'When the row was submitted.';
COMMENT ON COLUMN script_executions.run_at IS 'Not to start before this time.';
COMMENT ON COLUMN script_executions.priority IS 'Higher runs first among the rows of one tenant.';
COMMENT ON COLUMN script_executions.attempt IS 'How often it was started: 1 at the first claim, one more at each take-over.';
COMMENT ON COLUMN script_executions.fencing_token IS 'Number of the latest claim; a result is written only by its holder.';
COMMENT ON COLUMN script_executions.daemon_id IS 'Daemon that runs it or ran it; no foreign key, so that daemons can be forgotten.';
COMMENT ON COLUMN script_executions.outcome IS 'How the JavaScript ended; set with the final status.';
COMMENT ON COLUMN script_executions.postmortem IS 'One line: the cause, the limit and the value that broke it.';
COMMENT ON COLUMN script_executions.limits IS 'Limits of this execution; each can only lower what the script has.';

-- Rows that were there before the queue: their start is the best guess at when they were submitted.
UPDATE script_executions SET queued_at = COALESCE(started_at, queued_at), run_at = COALESCE(started_at, run_at);

ALTER TABLE script_executions
    ADD CONSTRAINT outcome_is_known CHECK (outcome IN (
        'ok', 'exception', 'syntax_error', 'no_handler', 'never_settles', 'unhandled_rejection', 'invalid_output',
        'wall_time', 'cpu_time', 'memory', 'output_size', 'stack_overflow', 'sandbox_violation', 'crashed',
        'rate_limit', 'cancelled', 'worker_lost', 'protocol', 'invalid_limits'));

CREATE SEQUENCE jsruntime_fencing_tokens AS BIGINT OWNED BY script_executions.fencing_token;

-- The claim walks from script to script in this index and takes the head of each.
CREATE INDEX idx_executions_claim ON script_executions(script_id, priority DESC, run_at, id)
    WHERE status = 'pending';
-- How many of a script run now; the rescuer and the poll for cancels walk it whole, it stays small.
CREATE INDEX idx_executions_running_script ON script_executions(script_id) WHERE status = 'running';
-- When the next delayed row falls due.
CREATE INDEX idx_executions_run_at ON script_executions(run_at) WHERE status = 'pending';
-- Listing a tenant's executions, newest first.
CREATE INDEX idx_executions_tenant_queued ON script_executions(tenant_id, queued_at DESC, id DESC);

-- A row is rewritten twice in its life, and the dead versions sit in the indexes that the claim reads.
ALTER TABLE script_executions SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

CREATE TABLE daemons (
    id UUID PRIMARY KEY,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid_namespace TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_started_ticks BIGINT NOT NULL,
    version TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    heartbeat_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    lease_expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    stopped_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_daemons_serving ON daemons(lease_expires_at) WHERE stopped_at IS NULL;

COMMENT ON COLUMN daemons.pid_started_ticks IS
    'Start of the process in clock ticks since boot (/proc/PID/stat, field 22): tells a process from a later one with its pid.';
COMMENT ON COLUMN daemons.stopped_at IS
    'Set by the daemon when it stops, or by another that found it dead or its lease over. What it ran may then be taken over.';

CREATE TABLE script_execution_logs (
    execution_id UUID NOT NULL REFERENCES script_executions(id) ON DELETE CASCADE,
    tenant_id UUID NOT NULL REFERENCES tenants(id),
    seq INTEGER NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('debug', 'log', 'info', 'warn', 'error')),
    logged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (execution_id, seq)
);

-- +migrate Down

DROP TABLE script_execution_logs;
DROP TABLE daemons;
DROP INDEX idx_executions_tenant_queued;
DROP INDEX idx_executions_run_at;
DROP INDEX idx_executions_running_script;
DROP INDEX idx_executions_claim;
ALTER TABLE script_executions RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);
ALTER TABLE script_executions
    DROP COLUMN limits,
    DROP COLUMN postmortem,
    DROP COLUMN outcome,
    DROP COLUMN cancel_requested_at,
    DROP COLUMN script_version,
    DROP COLUMN daemon_id,
    DROP COLUMN fencing_token,
    DROP COLUMN attempt,
    DROP COLUMN priority,
    DROP COLUMN run_at,
    DROP COLUMN queued_at;
