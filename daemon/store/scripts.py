"""Scripts: deploying and looking."""

from __future__ import annotations

from typing import Final, cast
from uuid import UUID

import msgspec

from daemon.errors import Conflict, NotFound
from daemon.store import sql, tenants
from daemon.store.database import Connection, Executor, Record, as_uuid, transaction, translated
from ipc.messages import Script, ScriptStatus, ScriptType

_SQL: Final = sql.load("scripts")


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A script as it is to be. What is `None` keeps its value, or has its default in a new script.

    `resource_limits_json` is an object whose keys replace those of the script, or of the default limits; the others
    stay. `author` is the id of a user.
    """

    tenant_id: UUID
    name: str
    source: str
    organization_id: UUID | None = None
    script_type: ScriptType = "oneoff"
    status: ScriptStatus = "active"
    description: str | None = None
    resource_limits_json: str | None = None
    cron_expression: str | None = None
    http_path: str | None = None
    http_methods: list[str] | None = None
    event_types: list[str] | None = None
    metadata_json: str | None = None
    tags: list[str] | None = None
    change_description: str | None = None
    author: int | None = None


class Deployed(msgspec.Struct, frozen=True):
    """`version` is the script's version now; `changed` says whether anything of the script differs from before."""

    script_id: UUID
    version: int
    created: bool
    changed: bool


async def deploy(db: Executor, deployment: Deployment) -> Deployed:
    """Create a script, or change the one of this name. Unchanged source makes no new version.

    :raises NotFound: a new script, and nothing tells its organization.
    :raises Conflict: the status cannot be reached from the present one, or another script has the http_path.
    :raises InvalidInput: a value that the database refuses; `field` names it.
    :raises DatabaseUnavailable: it is not known whether the script was deployed.
    """
    with translated():
        async with transaction(db) as connection:
            author = "" if deployment.author is None else str(deployment.author)
            await connection.execute(_SQL["set_author"], author, deployment.change_description or "")
            script_id, created = await _lock_or_create(connection, deployment)
            changed = created or await _change(connection, script_id, deployment)
            if deployment.resource_limits_json is not None:
                merged = await connection.fetchval(
                    _SQL["merge_limits"], deployment.tenant_id, script_id, deployment.resource_limits_json
                )
                changed = changed or merged is not None
            version = await connection.fetchval(_SQL["version"], deployment.tenant_id, script_id)
            # A caller's transaction goes on, and its next change is not this one's.
            await connection.execute(_SQL["set_author"], "", "")
            return Deployed(script_id, version, created, changed)


async def resolve(db: Executor, tenant_id: UUID, name_or_id: str) -> Script:
    """Return the tenant's script of this id or name.

    :raises NotFound: the tenant has none.
    :raises DatabaseUnavailable: the database is away.
    """
    script_id = as_uuid(name_or_id)
    with translated():
        row = await db.fetchrow(_SQL["by_id"], tenant_id, script_id) if script_id is not None else None
        row = row or await db.fetchrow(_SQL["by_name"], tenant_id, name_or_id)
    if row is None:
        raise NotFound(f'There is no script "{name_or_id}".', "Check the name and the tenant.")
    return _script(row)


async def list_scripts(db: Executor, tenant_id: UUID, *, status: ScriptStatus | None = None) -> list[Script]:
    """Return the tenant's scripts by name.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        return [_script(row) for row in await db.fetch(_SQL["list"], tenant_id, status)]


async def _lock_or_create(connection: Connection, deployment: Deployment) -> tuple[UUID, bool]:
    tenant_id, name = deployment.tenant_id, deployment.name
    script_id = await connection.fetchval(_SQL["lock_by_name"], tenant_id, name)
    if script_id is not None:
        return script_id, False
    organization_id = deployment.organization_id
    if organization_id is None:
        organization_id = await tenants.organization_of(connection, tenant_id)
    script_id = await connection.fetchval(
        _SQL["create"],
        tenant_id,
        organization_id,
        name,
        deployment.source,
        deployment.script_type,
        deployment.status,
        deployment.description,
        deployment.cron_expression,
        deployment.http_path,
        deployment.http_methods,
        deployment.event_types,
        deployment.metadata_json,
        deployment.tags,
        deployment.author,
    )
    if script_id is not None:
        return script_id, True
    # Someone created it between the two statements, and has committed.
    script_id = await connection.fetchval(_SQL["lock_by_name"], tenant_id, name)
    if script_id is None:
        raise Conflict(f'The script "{name}" was created and deleted just now.', "Try again.")
    return script_id, False


async def _change(connection: Connection, script_id: UUID, deployment: Deployment) -> bool:
    changed = await connection.fetchval(
        _SQL["change"],
        deployment.tenant_id,
        script_id,
        deployment.source,
        deployment.script_type,
        deployment.status,
        deployment.description,
        deployment.cron_expression,
        deployment.http_path,
        deployment.http_methods,
        deployment.event_types,
        deployment.metadata_json,
        deployment.tags,
    )
    return changed is not None


def _script(row: Record) -> Script:
    fields = dict(row)
    fields["id"], fields["tenant_id"] = str(row["id"]), str(row["tenant_id"])
    return Script(**cast("dict[str, object]", fields))  # type: ignore[arg-type]
