"""Tenants and their organizations. Both tables belong to the host application."""

from __future__ import annotations

from typing import Final, cast
from uuid import UUID

import msgspec

from daemon.errors import NotFound
from daemon.store import sql
from daemon.store.database import Executor, as_uuid, transaction, translated

_SQL: Final = sql.load("tenants")


class Tenant(msgspec.Struct, frozen=True):
    """A tenant."""

    id: UUID
    name: str


async def ensure_default(db: Executor, name: str) -> tuple[UUID, UUID]:
    """Return the ids of the tenant of this name and of its organization, both made where they are missing.

    For the tables that the migrations made; a host's own may need more columns.

    :raises InvalidInput: the host's tables need more than a name.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        async with transaction(db) as connection:
            await connection.execute(_SQL["create_tenant"], name)
            # Held to the end: two daemons that start at once make one organization, not two.
            await connection.execute(_SQL["lock_organizations"])
            tenant_id = cast(UUID, await connection.fetchval(_SQL["by_name"], name))
            organization_id = await _find_organization(connection, tenant_id)
            if organization_id is None:
                organization_id = await connection.fetchval(_SQL["create_organization"], tenant_id, name)
            return tenant_id, cast(UUID, organization_id)


async def resolve(db: Executor, id_or_name: str) -> Tenant:
    """Return the tenant of this id or name.

    :raises NotFound: there is none.
    :raises DatabaseUnavailable: the database is away.
    """
    tenant_id = as_uuid(id_or_name)
    with translated():
        row = await db.fetchrow(_SQL["by_id"], tenant_id) if tenant_id is not None else None
        row = row or await db.fetchrow(_SQL["by_name"], id_or_name)
    if row is None:
        raise NotFound(f'There is no tenant "{id_or_name}".', "Check the name or the id.")
    return Tenant(row["id"], row["name"])


async def organization_of(db: Executor, tenant_id: UUID) -> UUID:
    """Return the organization that the tenant's scripts are in, or could be in.

    :raises NotFound: it has no script, and no organization that names it.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        organization_id = await _find_organization(db, tenant_id)
    if organization_id is None:
        raise NotFound(
            f"Nothing tells which organization of tenant {tenant_id} a new script belongs to.",
            "Give organization_id, or deploy a first script with it.",
        )
    return organization_id


async def _find_organization(db: Executor, tenant_id: UUID) -> UUID | None:
    for name in ("organization_in_use", "organization_of_tenant"):
        found = await db.fetchval(_SQL[name], tenant_id)
        if found is not None:
            return cast(UUID, found)
    return None
