"""The store's tests start in a world with one tenant."""

from __future__ import annotations

import pytest

from daemon.store.database import Pool
from tests.daemon.store import world as worlds


@pytest.fixture
async def world(db: Pool) -> worlds.World:
    return await worlds.make(db)
