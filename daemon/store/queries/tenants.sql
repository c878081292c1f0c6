-- Tenants and organizations: tables of the host application, of which only id and name are relied on.

-- name: create_tenant
-- A tenant, unless the name is taken.
INSERT INTO tenants (name) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: by_id
-- A tenant by its id.
SELECT id, name FROM tenants WHERE id = $1;

-- name: by_name
-- A tenant by its name.
SELECT id, name FROM tenants WHERE name = $1;

-- name: organization_in_use
-- The organization of the tenant's first script.
SELECT organization_id FROM scripts WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 1;

-- name: organization_of_tenant
-- An organization of the tenant where organizations has a tenant_id, which a host's table need not.
SELECT o.id FROM organizations AS o WHERE to_jsonb(o) ->> 'tenant_id' = $1::uuid::text ORDER BY o.id LIMIT 1;

-- name: create_organization
-- An organization of the tenant.
INSERT INTO organizations (tenant_id, name) VALUES ($1, $2) RETURNING id;

-- name: lock_organizations
-- Nobody else adds an organization before the end of the transaction.
LOCK TABLE organizations IN SHARE ROW EXCLUSIVE MODE;
