"""One word for one thing: no class, type alias or module of hookd has the name of another one."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hookd

ROOT = Path(hookd.__file__).parent

COMMANDS = "cli/commands/"
"""A module here is named as its command, whatever else is named so."""

SHARED_MODULES = {
    "open": "how an engine opens its store is named as the contract's way to open one",
    "store": "an engine's store is named as the room, whose contract it fulfils",
}


def modules() -> Iterator[tuple[str, str]]:
    """The name and the path of each module and package below hookd itself."""
    for path in ROOT.rglob("*.py"):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(COMMANDS) or place in {"__init__.py", "__main__.py"}:
            continue
        yield path.parent.name if path.stem == "__init__" else path.stem, place


def classes() -> Iterator[tuple[str, str]]:
    """The name and the place of each class and type alias at the top of a module; private ones count as well."""
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.ClassDef(name=name):
                    pass
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    if not is_class_name(name.lstrip("_")):
                        continue
                case _:
                    continue
            yield name.lstrip("_"), f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"


def is_class_name(name: str) -> bool:
    return name[:1].isupper() and not name.isupper()


def shared(named: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return {name: sorted(found) for name, found in sorted(places.items()) if len(found) > 1}


def test_no_module_is_named_as_another_one() -> None:
    found = shared(modules())
    assert {name: places for name, places in found.items() if name not in SHARED_MODULES} == {}
    assert SHARED_MODULES.keys() <= found.keys(), "an exception that is not needed any more"


def test_no_class_is_named_as_another_one() -> None:
    assert shared(classes()) == {}
