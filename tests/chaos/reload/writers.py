"""The ways in which people and programs write files: each puts a new state where the old one was.

Must never: pause for longer than the contract bears (`Pen.longest_s` tells what the machine made of it), or leave
anything but the new state. Used by: `writing`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.chaos.reload.generations import Files, Pen, Place, fill

Writer = Callable[[Place, Pen, Files], None]

_ASIDE = (".{}.swp", "{}~", "4913", ".{}.x7Kq2p", "{}.tmp", ".#{}", "#{}#")
"""Names of editors' and rsync's temporary files."""


def in_place(place: Place, pen: Pen, files: Files) -> None:
    """One after another, truncated and written; what is too much goes first."""
    _leave(place, pen, files)
    for name, content in files.items():
        (place.tree / name).write_text(content)
        pen.moved()


def in_pieces(place: Place, pen: Pen, files: Files) -> None:
    """Truncated and written in pieces, with pauses between them; so are some files, the others at once."""
    slow = _some(place, files)
    in_place(
        place,
        pen,
        {name: content for name, content in files.items() if name not in slow} | _kept(place, slow),
    )
    for name in slow:
        with (place.tree / name).open("w") as file:
            for piece in _pieces(place, files[name]):
                file.write(piece)
                file.flush()
                pen.pause()


def appended(place: Place, pen: Pen, files: Files) -> None:
    """Emptied, then opened again for each piece (`>>`)."""
    slow = _some(place, files)
    in_place(
        place,
        pen,
        {name: content for name, content in files.items() if name not in slow} | _kept(place, slow),
    )
    for name in slow:
        (place.tree / name).write_text("")
        for piece in _pieces(place, files[name]):
            pen.pause()
            with (place.tree / name).open("a") as file:
                file.write(piece)
    pen.moved()


def atomic(place: Place, pen: Pen, files: Files) -> None:
    """Written under another name and renamed, with a pause after some."""
    _leave(place, pen, files)
    slow = _some(place, files)
    for name, content in files.items():
        aside = place.tree / place.chance.choice(_ASIDE).format(name)
        aside.write_text(content)
        aside.rename(place.tree / name)
        pen.pause() if name in slow else pen.moved()


def saved_by_editor(place: Place, pen: Pen, files: Files) -> None:
    """As vim does: a test file, the old one renamed to a backup, the new one written, the backup deleted."""
    _leave(place, pen, files)
    for name, content in files.items():
        file, backup = place.tree / name, place.tree / f"{name}~"
        (place.tree / "4913").touch()
        (place.tree / "4913").unlink()
        if file.exists():
            file.rename(backup)
        file.write_text(content)
        backup.unlink(missing_ok=True)
        pen.moved()


def hard_linked(place: Place, pen: Pen, files: Files) -> None:
    """Each becomes another name of a file elsewhere."""
    store = place.beside("store")
    fill(store, files)
    _leave(place, pen, files)
    for name in files:
        (place.tree / f".{name}").hardlink_to(store / name)
        (place.tree / f".{name}").rename(place.tree / name)
        pen.moved()
    shutil.rmtree(store)


def directory_renamed(place: Place, pen: Pen, files: Files) -> None:
    """The old directory out of the way, the new one into its place."""
    new, old, tree = place.beside("new"), place.beside("old"), place.tree
    fill(new, files)
    tree.rename(old)
    pen.moved()
    new.rename(tree)
    pen.moved()
    shutil.rmtree(old)


def directory_made_again(place: Place, pen: Pen, files: Files) -> None:
    """Removed, and made again after a pause."""
    tree = place.tree
    shutil.rmtree(tree)
    pen.pause()
    tree.mkdir()
    pen.pause()
    in_place(place, pen, files)


def link_swapped(place: Place, pen: Pen, files: Files) -> None:
    """The whole tree at once, as releases are; the old one is deleted."""
    old, new, link = place.tree, place.beside("tree"), place.beside("link")
    fill(new, files)
    link.symlink_to(new.name)
    link.rename(place.link)
    pen.moved()
    shutil.rmtree(old)


def data_swapped(place: Place, pen: Pen, files: Files) -> None:
    """As mounted by Kubernetes: each file a link into `..data`, which is a link that is swapped."""
    if not (place.tree / "..data").is_symlink():
        in_place(place, pen, files)  # so that the links say the same as the files they take the place of
    else:
        _leave(place, pen, files)
    new = place.tree / f"..{place.beside('data').name}"
    fill(new, files)
    (place.tree / "..next").symlink_to(new.name)
    (place.tree / "..next").rename(place.tree / "..data")
    pen.moved()
    for name in files:
        if not (place.tree / name).is_symlink():
            (place.tree / "..link").symlink_to(f"..data/{name}")
            (place.tree / "..link").rename(place.tree / name)
            pen.moved()


def checked_out(place: Place, pen: Pen, files: Files) -> None:
    """`git checkout` from a commit of the old state to one of the new."""
    scratch = place.beside("scratch")
    fill(scratch, files)
    store = place.root / "git"
    if not store.exists():
        _git(place, "init", "-q", tree=place.tree)
    _git(place, "add", "-A", tree=place.tree)
    _git(place, "commit", "-qm", "old", "--allow-empty", tree=place.tree)
    old = _git(place, "rev-parse", "HEAD", tree=place.tree)
    _git(place, "add", "-A", tree=scratch)
    _git(place, "commit", "-qm", "new", "--allow-empty", tree=scratch)
    new = _git(place, "rev-parse", "HEAD", tree=scratch)
    _git(place, "update-ref", "--no-deref", "HEAD", old, tree=place.tree)
    _git(place, "reset", "-q", "--mixed", old, tree=place.tree)
    pen.moved()
    _git(place, "checkout", "-qf", "--detach", new, tree=place.tree)
    pen.moved()
    shutil.rmtree(scratch)


def among_noise(place: Place, pen: Pen, files: Files) -> None:
    """Other files come and go, modes and times change, then the state is written."""
    for name in (".t000.yaml.swp", "t000.yaml~", "notes.txt", "x.test.yaml", ".hidden.yaml"):
        (place.tree / name).write_text("tasks: [nothing of this is read")
    for path in place.tree.glob("t*.yaml"):
        path.chmod(0o600)
        os.utime(path)
    pen.pause()
    for name in (".t000.yaml.swp", "t000.yaml~", "notes.txt", "x.test.yaml", ".hidden.yaml"):
        (place.tree / name).unlink()
    in_place(place, pen, files)


WRITERS: tuple[Writer, ...] = (
    in_place, in_pieces, appended, atomic, saved_by_editor, hard_linked, directory_renamed, directory_made_again,
    link_swapped, data_swapped, checked_out, among_noise,
)  # fmt: skip

OF_MANY_FILES: tuple[Writer, ...] = (checked_out, link_swapped, checked_out, directory_renamed, checked_out)


def broken_syntax(place: Place) -> None:
    (place.tree / "broken.yaml").write_text("tasks:\n  t: [\n")


def broken_reference(place: Place) -> None:
    (place.tree / "broken.yaml").write_text("tasks:\n  other: {webhook: nobody}\n")


def broken_key(place: Place) -> None:
    (place.tree / "broken.yaml").write_text("webhooks:\n  w2: {url: 'http://127.0.0.1/', timeut: 5}\n")


def world_writable(place: Place) -> None:
    (place.tree / "broken.yaml").write_text("webhooks: {}\n")
    (place.tree / "broken.yaml").chmod(0o666)


def pipe(place: Place) -> None:
    os.mkfifo(place.tree / "broken.yaml")


BREAKERS: tuple[Callable[[Place], None], ...] = (
    broken_syntax, broken_reference, broken_key, world_writable, pipe,
)  # fmt: skip


def _leave(place: Place, pen: Pen, files: Files) -> None:
    """Delete the definitions that the new state does not have."""
    for path in place.tree.glob("*.yaml"):
        if path.name not in files and not path.name.startswith("."):
            path.unlink()
            pen.moved()


def _some(place: Place, files: Files) -> list[str]:
    return place.chance.sample(sorted(name for name in files if name != "daemon.yaml"), 3)


def _kept(place: Place, names: list[str]) -> dict[str, str]:
    """What these hold now: they are not to be touched yet."""
    paths = [place.tree / name for name in names]
    return {path.name: path.read_text() for path in paths if path.exists()}


def _pieces(place: Place, content: str) -> list[str]:
    cuts = sorted(place.chance.sample(range(1, len(content)), 2))
    return [content[: cuts[0]], content[cuts[0] : cuts[1]], content[cuts[1] :]]


def _git(place: Place, *words: str, tree: Path) -> str:
    command = ["git", f"--git-dir={place.root / 'git'}", f"--work-tree={tree}"]
    command += ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "gc.auto=0"]
    return subprocess.run(
        [*command, *words], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.strip()
