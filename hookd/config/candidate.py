"""Loads a configuration that is to be compared with the one in force: another checkout, or a commit (spec 8, `diff`).

hookd may read what the one who asks may not. So of another checkout nothing is answered unless the one who asks names
the hash of its YAML files, which only those know who can read them.

Must never: write anywhere but in a temporary directory of its own, or block the event loop (run it in a thread).
"""

import os
import pwd
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hookd.config.git import GitSilent, revision_of
from hookd.config.git_export import CommitTree, link_untracked, tree_of
from hookd.config.isolated import isolated_load
from hookd.config.quick_lookup import why_unread
from hookd.config.relocation import relocated
from hookd.config.yaml.diagnostics import Loaded, shown_path
from hookd.domain.definitions import Config, Revision
from hookd.domain.errors import CandidateRefused
from hookd.domain.text import error_text
from hookd.domain.value_class import value_class

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
_HIDDEN_HINT = (
    "; as a service it sees no home directories, and a /tmp of its own: keep the checkout in /srv, say"
)
_REV_HINT = ", or commit it and name the commit: `hookd diff --rev COMMIT`"
_MOST_LOADS = 4


@value_class
class Candidate:
    """A configuration as it would be in place of the one in force.

    Attributes:
        loaded: its load; paths in it are those that a reload would see.
        revision: the commit its files come from, or None.
    """

    loaded: Loaded
    revision: Revision | None


def load_checkout(path: Path, yaml_hash: str, in_force: Config) -> Candidate:
    """Load another file or directory.

    Args:
        path: where it is.
        yaml_hash: `tree_hash(path)`, as the one who asks sees it.
        in_force: what it is to be compared with.

    Raises:
        CandidateRefused: hookd may not read it, or it reads something else there.
    """
    loaded = isolated_load(path)
    if loaded.yaml_hash != yaml_hash:
        raise CandidateRefused(_why_not(path))
    revision = revision_of(path, loaded.hash, loaded.sources)
    return Candidate(_in_place(loaded, path, in_force), revision)


def load_commit(path: Path, revision: str, in_force: Config) -> Candidate:
    """Load what a commit of the repository of the configuration at `path` holds of it.

    Raises:
        CandidateRefused: there is no such commit, or git or the disk fails.
    """
    try:
        with TemporaryDirectory(prefix="hookd-rev-") as directory:
            tree = tree_of(path, revision)
            return _load_commit(path, tree, Path(directory).resolve(), in_force)
    except GitSilent as error:
        raise CandidateRefused(f"{error}; ask again") from None
    except OSError as error:
        raise CandidateRefused(f"the commit cannot be laid out: {error_text(error).lower()}") from None


def _load_commit(path: Path, tree: CommitTree, where: Path, in_force: Config) -> Candidate:
    place = where / os.path.relpath(path.resolve(), tree.top)
    tree.write(tree.configuration(path), where)
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    loaded = isolated_load(place)
    for _ in range(_MOST_LOADS):  # a file it refers to may be a link
        names = list(_below(where, loaded.sources))
        written = tree.write([name for name in names if name in tree.blobs], where)
        if not written + link_untracked(tree, names, where):
            break
        loaded = isolated_load(place)
    moved = _in_place(_named(loaded, where, tree.commit), place, in_force)
    return Candidate(moved, Revision(tree.commit, dirty=False))


def _below(where: Path, sources: Iterable[str]) -> Iterable[str]:
    for source in sources:
        name = os.path.relpath(source, where)
        if name.split(os.sep, 1)[0] != os.pardir:
            yield name


def _named(loaded: Loaded, where: Path, commit: str) -> Loaded:
    """The load with the commit in place of the temporary directory, as git has it: `0123456789ab:conf/hookd.yaml`."""

    def renamed(text: str) -> str:
        for written in (shown_path(where), str(where)):
            text = text.replace(f"{written}/", f"{commit[:12]}:")
        return text

    diagnostics = tuple(
        replace(each, path=renamed(each.path), message=renamed(each.message)) for each in loaded.diagnostics
    )
    return replace(loaded, diagnostics=diagnostics)


def _in_place(loaded: Loaded, path: Path, in_force: Config) -> Loaded:
    """The load of what is at `path` as if it were where the configuration in force is."""
    if loaded.config is None:
        return loaded
    old, new = _directory(path), _directory(Path(in_force.path))
    return replace(loaded, config=relocated(loaded.config, old, new, loaded.relative))


def _directory(path: Path) -> Path:
    return path.absolute() if path.is_dir() else path.absolute().parent


def _why_not(path: Path) -> str:
    """Why hookd does not read what the one who asks does, and what helps."""
    user = _user()
    hidden = _HIDDEN_HINT if str(path).startswith(tuple(f"{each}/" for each in _HIDDEN)) else ""
    if why := why_unread(path):
        return f"hookd, as the user {user}, does not read all of {path}: {why}{hidden}{_REV_HINT}"
    if not os.path.lexists(path):
        return f"hookd, as the user {user}, sees nothing at {path}; let it into that directory{hidden}{_REV_HINT}"
    return (
        f"hookd sees other files at {path} than you: they have just changed, or it has its own there{hidden}"
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
