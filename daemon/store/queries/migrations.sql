-- The record of migrations. The migrations themselves are in migrations/.

-- name: lock
-- One process migrates at a time; the lock goes with the connection.
SELECT pg_advisory_lock(hashtextextended('jsruntime migrations', 0));

-- name: create_table
-- The record, where it is missing.
CREATE TABLE IF NOT EXISTS jsruntime_migrations (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    adopted BOOLEAN NOT NULL DEFAULT false
);

-- name: is_recorded
-- Whether anything was ever migrated here.
SELECT to_regclass('jsruntime_migrations') IS NOT NULL;

-- name: applied
-- What was applied.
SELECT version, name, checksum, applied_at, adopted FROM jsruntime_migrations ORDER BY version;

-- name: record
-- One migration applied, or adopted.
INSERT INTO jsruntime_migrations (version, name, checksum, adopted) VALUES ($1, $2, $3, $4);

-- name: forget
-- One migration taken back.
DELETE FROM jsruntime_migrations WHERE version = $1;

-- name: host_has_tables
-- Whether the tables of the data model are there before their migration.
SELECT to_regclass('scripts') IS NOT NULL;

-- name: enter_scratch_schema
-- A schema for one look, in front of the others; gone with the transaction.
CREATE SCHEMA jsruntime_scratch;
SELECT set_config('search_path', 'jsruntime_scratch,' || current_setting('search_path'), true);

-- name: columns
-- The columns of the data model's tables, as this connection finds them, and their types.
SELECT t.name AS table_name, a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS type
FROM unnest(ARRAY['scripts', 'script_executions', 'script_versions', 'script_event_subscriptions',
                  'script_scheduled_jobs', 'script_http_endpoints', 'script_event_dead_letters']) AS t(name)
JOIN pg_attribute AS a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY t.name, a.attnum;
