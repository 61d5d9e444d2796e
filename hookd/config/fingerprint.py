"""Tells whether a configuration changed, and which directories would say so.

Must never: block on what is not a regular file, read a huge one, or raise because a file vanished meanwhile.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from hookd.config.yaml.files import MAX_CONFIG_BYTES, Unreadable, identity, list_tree, read_regular
from hookd.config.yaml.owners import link_target, way_to


def tree_hash(path: Path, extra: Iterable[str | Path] = ()) -> str:
    """A hash over the names and bytes of the files a load of `path` would read.

    With the `sources` of a `Loaded` or a `Config` it equals their `hash` for as long as nothing changed.

    Args:
        path: the configuration's file or directory.
        extra: files the configuration refers to. Of these only identity, size and times count: a hash that is
            logged must not let anybody test guesses of a secret.

    Returns:
        12 hex digits.
    """
    listing = list_tree(path)
    contents = [(file, _content(file)) for file in listing.files]
    contents += [(place, error.token) for place, error in listing.refused]
    return digest(path, contents, {os.fspath(source): identity(source) for source in extra})


def digest(path: Path, contents: Iterable[tuple[Path, bytes]], extra: Mapping[str, bytes]) -> str:
    """The hash of `tree_hash` for contents that have already been read.

    Args:
        path: the configuration's file or directory.
        contents: its files.
        extra: the files it refers to, each with its `identity` from before it was read: one that changes while it is
            read, or later during the load, must not look the same as what was read.
    """
    whole = hashlib.sha256()
    for file, content in sorted(contents):
        name = file.name if file == path else os.path.relpath(file, path)
        _add(whole, os.fsencode(name))
        _add(whole, hashlib.sha256(content).digest())
    for source in sorted(extra):
        _add(whole, os.fsencode(source))
        _add(whole, extra[source])
    return whole.hexdigest()[:12]


def watch_dirs(path: Path) -> tuple[Path, ...]:
    """The directories in which a change may mean a changed configuration; none need be watched recursively.

    These are the file's directory, or each directory of the tree; and wherever a symlink on the way stands or
    points to, so that swapping a link (`..data` of Kubernetes, a `current` release) is seen. They may differ
    after each load.
    """
    listing = list_tree(path)
    found: set[Path] = set()
    target = cache(link_target)  # thousands of files share the directories on their ways
    for place in (path, *listing.files, *listing.directories):
        found.update(_link_places(place, target))
    found.update(directory.absolute() for directory in listing.directories)
    found.discard(Path("/"))
    return tuple(sorted(directory for directory in found if _is_directory(directory)))


def _add(whole: "hashlib._Hash", part: bytes) -> None:
    whole.update(len(part).to_bytes(8, "big") + part)


def _content(file: Path) -> bytes:
    try:
        return read_regular(file, MAX_CONFIG_BYTES)
    except Unreadable as error:
        return error.token


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _link_places(path: Path, target_of: Callable[[Path], Path | None]) -> set[Path]:
    """The directories of every symlink that is passed on the way to `path`, and the one it ends in."""
    found: set[Path] = set()
    last = Path("/")
    for last, target in way_to(path, target_of):
        if target is not None:
            found.add(last.parent)
    found.add(last if _is_directory(last) else last.parent)
    return found
