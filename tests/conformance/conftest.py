"""Fixtures of the conformance suite. Every test of this folder starts `hookd run` (and is marked `process`).

They run in one event loop, that of the session.

So a stage may live as long as wanted. A fresh one for a test is the fixture `stage`; one that many tests share is made
in their module:

    @pytest_asyncio.fixture(scope="module", loop_scope="session")
    async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
        async with Stage(tmp_path_factory.mktemp("headers")) as stage:
            stage.write(CONFIG)
            await stage.start()
            yield stage
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.scenes import Playing, play
from tests.kit.stage import Stage

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    in_session_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(in_session_loop, append=False)
            item.add_marker(pytest.mark.process)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage of the test's own: its receiver listens, its daemon is not started yet."""
    async with Stage(tmp_path) as fresh:
        yield fresh


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def playing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Playing]:
    """The scenes of the module, `SCENES`, under way."""
    async with play(request.module.SCENES, request, tmp_path_factory) as tasks:
        yield tasks
