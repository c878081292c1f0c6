"""Deploying scripts, and tenants."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import asyncpg
import pytest

from daemon.errors import Conflict, DatabaseUnavailable, InvalidInput, NotFound
from daemon.store import database, scripts, sql, tenants
from daemon.store.database import Pool
from tests.daemon.store import world as worlds
from tests.daemon.store.world import World

pytestmark = pytest.mark.anyio


def _deployment(world: World, **values: object) -> scripts.Deployment:
    defaults: dict[str, object] = {"tenant_id": world.tenant_id, "name": "greet", "source": "1"}
    return scripts.Deployment(**{**defaults, **values})  # type: ignore[arg-type]


async def test_a_deploy_creates_then_changes_then_does_nothing(world: World) -> None:
    created = await scripts.deploy(world.db, _deployment(world, tags=["a"], change_description="first"))
    same = await scripts.deploy(world.db, _deployment(world))
    retagged = await scripts.deploy(world.db, _deployment(world, tags=["b"]))
    changed = await scripts.deploy(world.db, _deployment(world, source="2", change_description="second"))
    assert [(d.version, d.created, d.changed) for d in (created, same, retagged, changed)] == [
        (1, True, True),
        (1, False, False),
        (1, False, True),
        (2, False, True),
    ]
    script = await scripts.resolve(world.db, world.tenant_id, "greet")
    assert (script.version, script.tags, script.status) == (2, ["b"], "active")
    rows = await world.db.fetch("SELECT version_number, change_description FROM script_versions ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, "first"), (2, "second")]


async def test_the_author_of_a_version_is_kept(world: World) -> None:
    user = await world.db.fetchval("INSERT INTO users (name) VALUES ('Ada') RETURNING id")
    other = await world.db.fetchval("INSERT INTO users (name) VALUES ('Bob') RETURNING id")
    await scripts.deploy(world.db, _deployment(world, author=user))
    await scripts.deploy(world.db, _deployment(world, source="2", author=other))
    await scripts.deploy(world.db, _deployment(world, source="3"))
    rows = await world.db.fetch("SELECT created_by FROM script_versions ORDER BY version_number")
    assert [row["created_by"] for row in rows] == [user, other, user]


async def test_limits_are_merged_over_what_is_there(world: World) -> None:
    async def limits() -> dict[str, int]:
        text = await world.db.fetchval("SELECT resource_limits FROM scripts")
        return dict(json.loads(text))

    await scripts.deploy(world.db, _deployment(world, resource_limits_json='{"max_execution_time_ms": 10}'))
    assert (await limits())["max_execution_time_ms"] == 10
    assert (await limits())["max_memory_bytes"] == 67108864
    result = await scripts.deploy(world.db, _deployment(world, resource_limits_json='{"max_concurrent_runs": 2}'))
    assert result.changed
    assert ((await limits())["max_execution_time_ms"], (await limits())["max_concurrent_runs"]) == (10, 2)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"script_type": "scheduled"}, "cron_expression"),
        ({"script_type": "http"}, "http_path"),
        ({"script_type": "event"}, "event_types"),
        ({"script_type": "magic"}, "type"),
        ({"status": "gone"}, "status"),
        ({"status": "archived"}, "status"),
        ({"resource_limits_json": "[1]"}, "resource_limits"),
        ({"resource_limits_json": '{"max_memory_bytes": "lots"}'}, "resource_limits"),
        ({"source": "a\x00b"}, ""),
        ({"metadata_json": "{"}, ""),
    ],
)
async def test_bad_values_are_refused_with_their_field(world: World, values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await scripts.deploy(world.db, _deployment(world, **values))
    assert caught.value.field == field
    assert await scripts.list_scripts(world.db, world.tenant_id) == []


async def test_a_move_that_is_not_allowed_is_a_conflict(world: World) -> None:
    await scripts.deploy(world.db, _deployment(world))
    with pytest.raises(Conflict, match="from active to draft") as caught:
        await scripts.deploy(world.db, _deployment(world, status="draft"))
    assert caught.value.hint == "From active it can go to: paused, disabled, archived."


async def test_a_path_has_one_script(world: World) -> None:
    await scripts.deploy(world.db, _deployment(world, script_type="http", http_path="/a"))
    with pytest.raises(Conflict, match="http_path"):
        await scripts.deploy(world.db, _deployment(world, name="other", script_type="http", http_path="/a"))


async def test_racing_deploys_of_one_name_make_one_script(world: World) -> None:
    results = await asyncio.gather(
        *(scripts.deploy(world.db, _deployment(world, source=str(number))) for number in range(8))
    )
    assert len({result.script_id for result in results}) == 1
    assert [result.created for result in results].count(True) == 1
    assert sorted(result.version for result in results) == list(range(1, 9))


async def test_scripts_are_listed_by_name_and_status(world: World, db: Pool) -> None:
    other = await worlds.make(db, "other")
    await other.script("zero")
    await world.script("b")
    await world.script("a", status="draft")
    assert [script.name for script in await scripts.list_scripts(db, world.tenant_id)] == ["a", "b"]
    assert [script.name for script in await scripts.list_scripts(db, world.tenant_id, status="draft")] == ["a"]
    with pytest.raises(NotFound):
        await scripts.resolve(db, world.tenant_id, "zero")


async def test_changes_are_announced(world: World, dsn: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(dsn)
    await listener.add_listener("jsruntime_scripts", lambda *message: heard.put_nowait(str(message[-1])))
    try:
        script_id = await world.script()
        assert await heard.get() == str(script_id)
        await world.script(source="2")
        assert await heard.get() == str(script_id)
        await world.db.execute("DELETE FROM scripts")
        assert await heard.get() == str(script_id)
    finally:
        await listener.close()


async def test_the_default_tenant_is_made_once(db: Pool) -> None:
    made = await asyncio.gather(*(tenants.ensure_default(db, "default") for _ in range(4)))
    assert len(set(made)) == 1
    tenant_id, organization_id = made[0]
    assert await tenants.resolve(db, "default") == await tenants.resolve(db, str(tenant_id))
    assert await tenants.organization_of(db, tenant_id) == organization_id
    for unknown in ("nobody", str(uuid4())):
        with pytest.raises(NotFound):
            await tenants.resolve(db, unknown)


async def test_an_unreachable_database_is_named_without_its_password() -> None:
    for connect in (database.connect, database.open_pool):
        with pytest.raises(DatabaseUnavailable) as caught:
            await connect("postgresql://ada:secret@127.0.0.1:1/shop", timeout_seconds=5)
        assert "127.0.0.1:1/shop" in caught.value.message
        assert "secret" not in str(caught.value)


def test_statements_are_parsed_with_their_fragments() -> None:
    text = "-- A file.\n\n-- fragment: columns\na, b\n\n-- name: one\n-- Reads.\nSELECT {{columns}};\n"
    assert sql.parse(text) == {"one": "-- Reads.\nSELECT a, b"}
    with pytest.raises(ValueError, match="twice"):
        sql.parse("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="not there"):
        sql.parse("-- name: one\nSELECT {{nothing}};\n")
