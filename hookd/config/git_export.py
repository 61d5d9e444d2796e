"""A commit's configuration as files in a directory of hookd's own, so that it can be loaded (spec 8, `diff --rev`).

The contents come out of the repository as they are stored: no filter, hook or attribute of it is followed, and nothing
is written to it or to its work tree.

Must never: write outside the directory it was given, or follow a link that leads out of the commit.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import NamedTuple

from hookd.config.git import GitSilent, ask_git, head_of, names_in, work_tree
from hookd.config.yaml.files import (
    MAX_CONFIG_BYTES,
    MAX_FILES,
    MAX_SOURCE_BYTES,
    MAX_TREE_BYTES,
    is_config_name,
    work_tree_of,
)
from hookd.domain.errors import CandidateRefused
from hookd.domain.text import quoted
from hookd.domain.value_class import value_class

_LINK = "120000"
_FILES = {"100644", "100755", _LINK}


class _Blob(NamedTuple):
    mode: str
    id: str
    size: int


@value_class
class CommitTree:
    """What a commit holds, by name from the top of the work tree.

    Attributes:
        top: of the work tree.
        commit: its whole id.
    """

    top: Path
    commit: str
    blobs: Mapping[str, _Blob]

    def configuration(self, path: Path) -> list[str]:
        """The names of the configuration at `path`, which stands in the work tree, links to directories included."""
        whole = os.path.relpath(path.resolve(), self.top)
        if whole in self.blobs:
            return [whole]
        return list(self._below(whole))

    def write(self, names: Iterable[str], where: Path) -> int:
        """Write files, and what links among them lead to within the commit; how many are new.

        Raises:
            CandidateRefused: they are too many or too large.
            GitSilent: git does not give their contents.
        """
        count = 0
        wanted = [name for name in names if not os.path.lexists(where / name)]
        while wanted:
            count += len(wanted)
            if count > MAX_FILES or sum(self.blobs[name].size for name in wanted) > MAX_TREE_BYTES:
                raise CandidateRefused(
                    f"the configuration of the commit {self.commit[:12]} is larger than hookd reads"
                )
            further: set[str] = set()
            for name, content in zip(wanted, self._contents(wanted), strict=True):
                further.update(self._write(name, content, where))
            wanted = [name for name in further if not os.path.lexists(where / name)]
        return count

    def _below(self, directory: str) -> Iterator[str]:
        prefix = "" if directory == os.curdir else f"{directory}/"
        for name, blob in self.blobs.items():
            if name.startswith(prefix):
                inside = name.removeprefix(prefix)
                hidden = any(part.startswith(".") for part in PurePosixPath(inside).parts)
                if is_config_name(inside) or (blob.mode == _LINK and not hidden):
                    yield name

    def _contents(self, names: Iterable[str]) -> Iterator[bytes]:
        with TemporaryFile() as ids:
            ids.writelines(f"{self.blobs[name].id}\n".encode() for name in names)
            ids.seek(0)
            answer = memoryview(ask_git(self.top, ["cat-file", "--batch"], ids))
        at = 0
        for name in names:
            size = self.blobs[name].size
            at += len(f"{self.blobs[name].id} blob {size}\n")
            yield bytes(answer[at : at + size])
            at += size + 1

    def _write(self, name: str, content: bytes, where: Path) -> Iterator[str]:
        """Write one; yields what else is needed for it."""
        place = where / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if self.blobs[name].mode != _LINK:
            place.write_bytes(content)
            return
        target = os.path.normpath(PurePosixPath(name).parent / os.fsdecode(content))
        if target.startswith(("/", f"{os.pardir}/")) or target == os.pardir:
            return  # out of the commit: a load says that it is not there
        place.symlink_to(
            os.path.relpath(where / target, place.parent)
        )  # not as written: `..` behind a link leads out
        yield from [target] if target in self.blobs else self._below(target)


def tree_of(path: Path, revision: str) -> CommitTree:
    """The commit that a revision names in the repository of the configuration at `path`.

    Raises:
        CandidateRefused: there is no repository, or no such commit.
    """
    place = work_tree(path)
    if place is None or work_tree_of(path) is None:
        raise CandidateRefused(f"the configuration at {path} is in no git work tree, so it has no commits")
    try:
        top, _ = head_of(place)
    except (GitSilent, OSError) as error:
        raise CandidateRefused(f"git cannot read the repository of {path} as hookd's user: {error}") from None
    try:
        answer = ask_git(top, ["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"])
    except GitSilent:
        raise CandidateRefused(f"the repository at {top} has no commit {quoted(revision)}") from None
    commit = answer.decode().strip()
    listing = os.fsdecode(ask_git(top, ["ls-tree", "-r", "-z", "-l", "--full-tree", commit]))
    return CommitTree(top, commit, dict(_blobs(listing)))


def link_untracked(tree: CommitTree, names: Iterable[str], where: Path) -> int:
    """Link to files of the work tree that git does not keep, such as secrets: a checkout leaves them; how many."""
    missing = [name for name in names if name not in tree.blobs and (tree.top / name).is_file()]
    if not missing:
        return 0
    _, head = head_of(tree.top)
    kept = names_in(tree.top, head, missing)
    untracked = [name for name in missing if name not in kept and not os.path.lexists(where / name)]
    for name in untracked:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).symlink_to(tree.top / name)
    return len(untracked)


def _blobs(listing: str) -> Iterator[tuple[str, _Blob]]:
    for entry in listing.split("\0"):
        facts, tab, name = entry.partition("\t")
        if not tab:
            continue
        mode, _, blob, size = facts.split()
        most = MAX_CONFIG_BYTES if is_config_name(name) else MAX_SOURCE_BYTES
        if mode in _FILES and int(size) <= most:
            yield name, _Blob(mode, blob, int(size))
