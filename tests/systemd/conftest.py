"""One booted machine for all tests, with hookd installed by the lines of docs/operations.md.

These tests need root and Debian's systemd-container, and run only where they are asked for:
`python -m pytest tests/systemd`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.docs import pages
from tests.kit.receiver import Receiver
from tests.systemd.machine import PREFIX, SOURCE, Machine, booted, missing
from tests.systemd.service import CONFIG, Service

_OURS = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless they are named."""
    asked = (Path(arg.partition("::")[0]).resolve() for arg in config.args)
    return None if any(each.is_relative_to(_OURS) for each in asked) else True


@pytest.fixture(scope="session")
def bare() -> Iterator[Machine]:
    """A machine with hookd's program, and nothing of hookd under systemd."""
    why_not = missing()
    if why_not:
        pytest.fail(why_not)
    with booted() as machine:
        yield machine


@pytest.fixture(scope="session")
def machine(bare: Machine) -> Machine:
    """The same with hookd installed and running."""
    for line in installing():
        bare.run("sh", "-ec", line, cwd=str(SOURCE))
    return bare


def installing() -> list[str]:
    """The lines of docs/operations.md, but those that fetch the program; that and a configuration are in `SOURCE`."""
    lines = [line.replace("sudo ", "") for line in pages.named("install").splitlines() if line]
    assert any(f"venv {PREFIX}" in line for line in lines)
    fetching = [line for line in lines if "apt-get" in line or "pip install" in line]
    assert len(fetching) == 2
    return [line for line in lines if line not in fetching]


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """hookd, started anew on an empty store without drop-ins; afterwards, what it said is shown with a failure."""
    service = Service(machine)
    service.reset()
    yield service
    print(machine.journal("hookd.service")[-5000:])


@pytest.fixture
async def receiver(machine: Machine) -> AsyncIterator[Receiver]:
    """A receiver inside the machine's network."""
    with machine.bound() as sock:
        async with Receiver(sock=sock) as running:
            yield running


@pytest.fixture(scope="session", autouse=True)
def _configuration(bare: Machine) -> None:
    bare.write(str(SOURCE / "my-config.yaml"), CONFIG)
