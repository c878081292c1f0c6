-- Scripts.

-- fragment: script
s.id, s.name, s.tenant_id, s.type, s.status, s.description, COALESCE(s.tags, '{}') AS tags,
    COALESCE((SELECT max(version_number) FROM script_versions AS v WHERE v.script_id = s.id), 0) AS version,
    EXTRACT(EPOCH FROM s.created_at)::float8 AS created_at, EXTRACT(EPOCH FROM s.updated_at)::float8 AS updated_at

-- name: by_id
-- A tenant's script by its id.
SELECT {{script}} FROM scripts AS s WHERE s.tenant_id = $1 AND s.id = $2;

-- name: by_name
-- A tenant's script by its name.
SELECT {{script}} FROM scripts AS s WHERE s.tenant_id = $1 AND s.name = $2;

-- name: list
-- A tenant's scripts by name, optionally of one status.
SELECT {{script}} FROM scripts AS s
WHERE s.tenant_id = $1 AND ($2::text IS NULL OR s.status = $2)
ORDER BY s.name;

-- name: set_author
-- Who changes what and why, for the versions that this transaction writes.
SELECT set_config('jsruntime.author', $1, true), set_config('jsruntime.change_description', $2, true);

-- name: create
-- A new script with the default limits, none if the name is taken.
INSERT INTO scripts (tenant_id, organization_id, name, source, type, status, description, cron_expression, http_path,
    http_methods, event_types, metadata, tags, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text[], $11::text[], COALESCE($12::jsonb, '{}'),
    COALESCE($13::text[], '{}'), $14)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id;

-- name: merge_limits
-- Some limits of a script changed, the others kept.
UPDATE scripts SET resource_limits = resource_limits || $3::jsonb
WHERE tenant_id = $1 AND id = $2 AND resource_limits IS DISTINCT FROM resource_limits || $3::jsonb
RETURNING id;

-- name: change
-- What was given changed, the rest kept; nothing is written where nothing differs.
WITH wanted AS (
    SELECT id, $3::text AS source, $4::text AS type, $5::text AS status,
        COALESCE($6, description) AS description, COALESCE($7, cron_expression) AS cron_expression,
        COALESCE($8, http_path) AS http_path, COALESCE($9::text[], http_methods) AS http_methods,
        COALESCE($10::text[], event_types) AS event_types, COALESCE($11::jsonb, metadata) AS metadata,
        COALESCE($12::text[], tags) AS tags
    FROM scripts WHERE tenant_id = $1 AND id = $2
)
UPDATE scripts AS s
SET source = w.source, type = w.type, status = w.status, description = w.description,
    cron_expression = w.cron_expression, http_path = w.http_path, http_methods = w.http_methods,
    event_types = w.event_types, metadata = w.metadata, tags = w.tags
FROM wanted AS w
WHERE s.id = w.id
    AND (s.source, s.type, s.status, s.description, s.cron_expression, s.http_path, s.http_methods, s.event_types,
         s.metadata, s.tags)
        IS DISTINCT FROM (w.source, w.type, w.status, w.description, w.cron_expression, w.http_path, w.http_methods,
         w.event_types, w.metadata, w.tags)
RETURNING s.id;

-- name: lock_by_name
-- A script held for a change.
SELECT id FROM scripts WHERE tenant_id = $1 AND name = $2 FOR NO KEY UPDATE;

-- name: version
-- The number of a script's present source.
SELECT COALESCE(max(version_number), 0) FROM script_versions WHERE tenant_id = $1 AND script_id = $2;
