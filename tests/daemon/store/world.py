"""Rows for tests to start from."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import msgspec

from daemon.store import daemons, dispatch, executions, scripts, tenants
from daemon.store.database import Pool


class World(msgspec.Struct, frozen=True):
    """A tenant with an organization, and a daemon that serves."""

    db: Pool
    tenant_id: UUID
    organization_id: UUID
    daemon_id: UUID

    async def script(self, name: str = "greet", /, **changes: Any) -> UUID:
        """Deploy a script; `limits` is a dict, the rest is as in `Deployment`."""
        limits = changes.pop("limits", None)
        if limits is not None:
            changes["resource_limits_json"] = json.dumps(limits)
        values = {"tenant_id": self.tenant_id, "organization_id": self.organization_id, "source": "1", **changes}
        return (await scripts.deploy(self.db, scripts.Deployment(name=name, **values))).script_id

    async def submit(self, script: str = "greet", **changes: Any) -> UUID:
        """Submit one execution of a script."""
        submission = executions.Submission(tenant_id=self.tenant_id, script=script, **changes)
        return (await executions.submit(self.db, submission)).id

    async def claim(self, max_rows: int = 100) -> list[dispatch.Claimed]:
        """Claim for the daemon of this world."""
        return await dispatch.claim(self.db, self.daemon_id, max_rows)

    async def complete(self, *endings: dispatch.Ending) -> set[UUID]:
        """Complete for the daemon of this world."""
        return await dispatch.complete(self.db, self.daemon_id, endings)

    async def status(self, execution_id: UUID) -> str:
        """Return the status of an execution."""
        return (await executions.show(self.db, self.tenant_id, execution_id)).status


async def make(db: Pool, name: str = "acme") -> World:
    """Make a tenant, its organization, and a registered daemon."""
    tenant_id, organization_id = await tenants.ensure_default(db, name)
    return World(db, tenant_id, organization_id, await daemon(db))


async def daemon(db: Pool, *, lease_seconds: float = 300, **changes: Any) -> UUID:
    """Register a daemon."""
    values = {"host": "here", "boot_id": "boot", "pid_namespace": "pid:[1]", "pid": 1, "pid_started_ticks": 1}
    registration = daemons.Registration(id=uuid4(), version="0", **{**values, **changes})
    await daemons.register(db, registration, lease_seconds=lease_seconds)
    return registration.id


def ending(claimed: dispatch.Claimed, **changes: Any) -> dispatch.Ending:
    """Return the ending of a run that went well."""
    values = {"status": "completed", "outcome": "ok", "output_json": "1", "metrics_json": '{"duration_ms": 1}'}
    return dispatch.Ending(id=claimed.id, fencing_token=claimed.fencing_token, **{**values, **changes})
