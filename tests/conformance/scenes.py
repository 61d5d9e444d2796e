"""Scenes: tests that mostly wait for a clock, so they are played at the same time, each with a stage of its own.

A module names its `SCENES` and has

    @pytest.mark.parametrize("scene", SCENES, ids=title)
    async def test_r02(scene: Scene, playing: Playing) -> None:
        await playing[scene]

Must never: let one scene see another's daemon, receiver or directory.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

Scene = Callable[[Path], Awaitable[None]]
"""Gets an empty directory; raises what makes its test fail (or skips it)."""

Playing = Mapping[Scene, asyncio.Task[None]]


def title(scene: Scene) -> str:
    """The name that its test has."""
    return scene.__name__


@asynccontextmanager
async def play(
    scenes: Iterable[Scene], request: pytest.FixtureRequest, directories: pytest.TempPathFactory
) -> AsyncIterator[Playing]:
    """Start the scenes whose tests are to be run; ends those nobody waited for."""
    chosen = {item.name for item in request.session.items if item.path == request.path}
    playing = {
        scene: asyncio.create_task(_played(scene, directories.mktemp(title(scene)[-40:])))
        for scene in scenes
        if any(name.endswith(f"[{title(scene)}]") for name in chosen)
    }
    yield playing
    for task in playing.values():
        task.cancel()
    await asyncio.gather(*playing.values(), return_exceptions=True)


async def _played(scene: Scene, directory: Path) -> None:
    await scene(directory)
