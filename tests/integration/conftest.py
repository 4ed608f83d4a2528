"""One installation for the tests that only use the product: all services, a netting set for each module.

The servers it runs on are everybody's, see tests/conftest.py.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from clearing.config import Settings
from clearing.dev.postgres import EmbeddedPostgres
from tests.integration.cleared import Installation, installed


@pytest.fixture(scope="session")
async def installation(
    request: pytest.FixtureRequest,
    bootstrap: str,
    postgres: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installation]:
    """All services at work, with a netting set for each module of this run that names one."""
    modules = [item.getparent(pytest.Module) for item in request.session.items]
    found = {module.obj.__name__: module.obj for module in modules if module is not None}
    folder = tmp_path_factory.mktemp("installation")
    admin = await asyncpg.connect(postgres.dsn)
    try:
        await admin.execute("CREATE DATABASE cleared")
    finally:
        await admin.close()
    settings = Settings(
        bootstrap=bootstrap,
        dsn=postgres.dsn_of("cleared"),
        topic_prefix="cleared-",
        snapshots=str(folder / "snapshots"),
    )
    named = [module for module in found.values() if hasattr(module, "NETTING_SET")]
    async with installed(settings, folder / "services", named) as running:
        yield running
