"""Hostile files: each function drops one thing beside a good configuration.

Must never: leave the directory it is given. Used by: `hostile`.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

NAME = "bad.yaml"

Drop = Callable[[Path], None]

_HOOK = "url: 'http://127.0.0.1:9/'"
_MIB = 1 << 20


def _text(content: str) -> Drop:
    return _bytes(content.encode())


def _bytes(content: bytes) -> Drop:
    def drop(tree: Path) -> None:
        (tree / NAME).write_bytes(content)

    return drop


def _aliases(levels: int, *, key: str = "a{}") -> str:
    names = [key.format(level) for level in range(levels)]
    lines = [f"{names[0]}: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{names[n]}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, levels)]
    return "\n".join(lines)


def _merges(levels: int) -> str:
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(9)) + "}"]
    lines += [
        f"a{n}: &a{n} {{<<: [" + ", ".join([f"*a{n - 1}"] * 9) + f"], m{n}: {{<<: *a{n - 1}}}}}"
        for n in range(1, levels)
    ]
    return "\n".join(lines)


def _where(expression: str) -> str:
    return (
        f"webhooks: {{w9: {{{_HOOK}}}}}\ntasks: {{t9: {{webhook: w9}}}}\n"
        f"events:\n  e9: {{type: a, event: b, task: t9, where: '{expression}'}}\n"
    )


def _task(message: str) -> str:
    return f"webhooks: {{w9: {{{_HOOK}}}}}\ntasks: {{t9: {{webhook: w9, message: {message}}}}}\n"


def _fifo(tree: Path) -> None:
    os.mkfifo(tree / NAME)


def _link_to_fifo(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / NAME).symlink_to("pipe")


def _link_to(target: str) -> Drop:
    def drop(tree: Path) -> None:
        (tree / NAME).symlink_to(target)

    return drop


def _device(tree: Path) -> None:
    """/dev/zero itself where the user may make one, else a link to it."""
    try:
        os.mknod(tree / NAME, 0o020666, os.makedev(1, 5))
    except PermissionError:
        (tree / NAME).symlink_to("/dev/zero")


def _socket(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        here = Path.cwd()
        os.chdir(tree)  # a socket's path is bounded to some hundred bytes
        try:
            sock.bind(NAME)
        finally:
            os.chdir(here)


def _directory(tree: Path) -> None:
    (tree / NAME).mkdir()


def _loop(tree: Path) -> None:
    (tree / NAME).symlink_to("other.yaml")
    (tree / "other.yaml").symlink_to(NAME)


def _sparse(tree: Path) -> None:
    with (tree / NAME).open("wb") as file:
        file.truncate(1 << 30)


def _gigabyte(tree: Path) -> None:
    with (tree / NAME).open("wb") as file:
        for _ in range(1024):
            file.write(b"# no news\n" * 104857 + b"\n" * 6)


def _many_large(tree: Path) -> None:
    """Each within the bound for one file."""
    for number in range(40):
        (tree / f"bad{number}.yaml").write_bytes(b"# no news\n" * (15 * _MIB // 10))


def _many_files(tree: Path) -> None:
    folder = tree / "bad"
    folder.mkdir()
    for number in range(100_000):
        os.close(os.open(folder / f"{number}.yaml", os.O_CREAT | os.O_WRONLY, 0o644))


def _deep_directories(tree: Path) -> None:
    """A thousand, by relative names since no path may be that long; a fault at the bottom of what can be reached."""
    at = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(1000):
        name = "bad" if not number else "directory"
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def _directories_aside(tree: Path) -> None:
    for number in range(1000):
        (tree / "bad" / f"{number}").mkdir(parents=True)
    (tree / "bad" / "0" / NAME).write_text("x: 1\n")


def _link_ring(tree: Path) -> None:
    """Directories that link to each other and to themselves."""
    for number in range(20):
        (tree / f"bad{number}").mkdir()
        for other in range(20):
            (tree / f"bad{number}" / f"to{other}").symlink_to(f"../bad{other}")
    (tree / "bad0" / NAME).write_text("x: 1\n")


def _world_writable(tree: Path) -> None:
    (tree / NAME).write_text("webhooks: {}\n")
    (tree / NAME).chmod(0o666)


def _numbers() -> str:
    lines = [f"  n{n}: {{{_HOOK}, timeout: {value}}}" for n, value in enumerate((
        "1e999999", "9" * 1_000_000, ":".join(["59"] * 100_000), "0x" + "f" * 1_000_000, "-" + "1" * 4000,
        "1" * 400_000 + "s", "'" + "1s" * 100_000 + "'", "1e308d", "'1e999999s'", ".inf", ".nan", "1_" * 50_000 + "1",
    ))]  # fmt: skip
    return "webhooks:\n" + "\n".join(lines)


def _schedules() -> str:
    lists = ",".join(["1-59/1"] * 50_000)
    return (
        f"webhooks: {{w9: {{{_HOOK}}}}}\ntasks: {{t9: {{webhook: w9}}}}\nschedules:\n"
        f"  s1: {{task: t9, cron: '{lists} * * * *'}}\n  s2: {{task: t9, cron: '{'* ' * 500_000}'}}\n"
        f"  s3: {{task: t9, cron: '0-{'9' * 100_000} * * * *'}}\n  s4: {{task: t9, every: {'9' * 300}d}}\n"
        "  s5: {task: t9, cron: '0 0 30 2 *', from: 0001-01-01, until: 9999-12-31}\n"
        "  s6: {task: t9, every: 1s, from: 0001-01-01T00:00:00, until: 9999-12-31}\n"
        "  s7: {task: t9, at: 9999-12-31T23:59:59}\n"
    )


FILES: dict[str, Drop] = {
    "alias bomb of 257 bytes": _text(_aliases(9)[:257].rsplit("\n", 1)[0] + "\nw: [*a1]"),
    "alias bomb": _text(_aliases(60)),
    "alias bomb in a known place": _text("webhooks:\n  " + _aliases(9).replace("\n", "\n  ")),
    "alias bomb of merge keys": _text(_merges(60)),
    "alias bomb of keys": _text("a: &a " + "k" * 100_000 + "\nb:\n" + "  ? *a\n  : 1\n" * 20_000),
    "alias bomb of text": _text("a: &a " + "x" * _MIB + "\nb: [" + "*a, " * 1000 + "]"),
    "aliases up to the bound": _text(
        "x: &a [" + "1, " * 1000 + "]\nwebhooks:\n" + "".join(f"  w{n}: {{url: [*a]}}\n" for n in range(245))
    ),
    "100,000 anchors": _text("webhooks:\n" + "".join(f"  a{n}: &a{n} {{}}\n" for n in range(100_000))),
    "200,000 brackets": _text("[" * 200_000),
    "200,000 braces": _text("a: " + "{a: " * 200_000),
    "200,000 dashes": _text("- " * 200_000),
    "2,000 nested blocks": _text("\n".join(" " * n + f"k{n}:" for n in range(2000))),
    "100,000 question marks": _text("? " * 100_000),
    "1,000,000 documents": _text("---\n" * 1_000_000),
    "1,000,000 documents of one value": _text("--- a\n...\n" * 1_000_000),
    "100,000 unknown keys": _text("".join(f"webhok{n}: 1\n" for n in range(100_000))),
    "100,000 unknown keys of a webhook": _text(
        f"webhooks:\n  w9:\n    {_HOOK}\n" + "".join(f"    timeot{n}: 1\n" for n in range(100_000))
    ),
    "100,000 unknown sections' names": _text("webhooks:\n" + "".join(f"  w{n}: 5\n" for n in range(100_000))),
    "100,000 names twice": _text("webhooks:\n" + f"  w9: {{{_HOOK}}}\n" * 100_000),
    "100,000 dangling references": _text(
        "tasks:\n" + "".join(f"  t{n}: {{webhook: web{n}}}\n" for n in range(100_000))
    ),
    "50,000 typing errors among 20,000 names": _text(
        "webhooks:\n" + "".join(f"  hook-{n}: {{{_HOOK}}}\n" for n in range(20_000))
        + "tasks:\n" + "".join(f"  t{n}: {{webhook: huok-{n}}}\n" for n in range(20_000))
    ),
    "list of 100,000 with one twice": _text(
        "types:\n  a:\n    events: [" + ", ".join(f"e{n}" for n in range(100_000)) + ", e99999]\n"
    ),
    "list of 100,000 mappings where texts belong": _text(
        "types:\n  a:\n    events: [" + ", ".join(f"{{a: {n}}}" for n in range(100_000)) + "]\n"
    ),
    "key of 1 MiB": _text("k" * _MIB + ": 1\n"),
    "name of 1 MiB with 10,000 faults below": _text(
        "webhooks:\n  ? " + "k" * _MIB + "\n  :\n" + "".join(f"    x{n}: 1\n" for n in range(10_000))
    ),
    "text of 1 MiB without a space": _text(f"webhooks:\n  w9: {{url: {'x' * _MIB}, method: {'P' * _MIB}}}\n"),
    "15 MiB of one text": _text("webhooks: " + "x" * (15 * _MIB)),
    "numbers without end": _text(_numbers()),
    "cron without end": _text(_schedules()),
    "CEL: deep parentheses": _text(_where("(" * 40_000 + "true" + ")" * 40_000)),
    "CEL: 20,000 operators": _text(_where(" && ".join(["data.a == 1"] * 6000) + " &&")),
    "CEL: huge list": _text(_where("data.a in [" + "1, " * 30_000 + "x]")),
    "CEL: nested macros": _text(_where("data.a.all(x, " * 25 + "y" + ")" * 25)),
    "CEL: pattern bomb": _text(_where("data.a.matches(" + '"' + "(a{1,1000}){1,1000}" * 1000 + '"' + ") && nobody")),
    "CEL: minuses": _text(_where("-" * 99_000 + "1")),
    "CEL: fields": _text(_where("data" + ".a" * 49_000 + " && nobody")),
    "CEL: 300 of them": _text(
        f"webhooks: {{w9: {{{_HOOK}}}}}\ntasks: {{t9: {{webhook: w9}}}}\nevents:\n" + "".join(
            f"  e{n}: {{type: a, event: b, task: t9, where: '" + " && ".join([f"data.a{n} == 1"] * 400) + " && '}\n"
            for n in range(300)
        )
    ),
    "variables without end": _text(_task("'" + "${" * 200_000 + "'")),
    "100,000 unknown variables": _text(_task("'" + "${X} " * 100_000 + "'")),
    "100,000 lines of unknown variables": _text(
        "webhooks: {w9: {" + _HOOK + "}}\ntasks:\n  t9:\n    webhook: w9\n    message: |\n" + "      ${X}\n" * 100_000
    ),
    "variable of 1 MiB": _text(_task("'${data." + "a." * (_MIB // 2) + "}'")),
    "JSON text of 10,000 brackets": _text(_task("'" + "[" * 10_000 + "'")),
    "header block of 100,000 lines": _text(
        "webhooks:\n  w9:\n    " + _HOOK + "\n    headers: |\n" + "      no colon\n" * 100_000
    ),
    "header of 1 MiB": _text(f"webhooks:\n  w9: {{{_HOOK}, headers: {{X-A: {'v' * _MIB}, {'N' * _MIB}: v}}}}\n"),
    "URL of 1 MiB": _text(f"webhooks:\n  w9: {{url: 'http://{'a.' * (_MIB // 2)}'}}\n  w8: {{url: 5}}\n"),
    "binary": _bytes(bytes(range(256)) * 4096),
    "UTF-16": _bytes("webhooks: {}\n".encode("utf-16")),
    "NULs": _bytes(b"\0" * _MIB),
    "16 MiB of NULs": _bytes(b"\0" * (16 * _MIB)),
    "16 MiB of empty keys": _bytes(b":\n" * (8 * _MIB)),
    "16 MiB of small keys": _text("webhooks:\n" + "".join(f" {n:x}:\n" for n in range(1_900_000))),
    "invalid UTF-8 at the end": _bytes(b"a: b\n" * 3_000_000 + b"\xff"),
    "symlink to a FIFO": _link_to_fifo,
    "FIFO": _fifo,
    "device": _device,
    "symlink to /dev/random": _link_to("/dev/random"),
    "symlink to /proc/self/mem": _link_to("/proc/self/mem"),
    "symlink to nothing": _link_to("nothing"),
    "symlink loop": _loop,
    "socket": _socket,
    "directory named as a file": _directory,
    "world-writable": _world_writable,
    "1 GiB, sparse": _sparse,
    "1 GiB": _gigabyte,
    "40 files of 15 MiB": _many_large,
    "100,000 files": _many_files,
    "1,000 directories in each other": _deep_directories,
    "1,000 directories beside each other": _directories_aside,
    "directories that link in a ring": _link_ring,
}  # fmt: skip
"""By name. Each makes the configuration invalid."""

SHORT = (
    "alias bomb of 257 bytes", "200,000 brackets", "100,000 unknown keys of a webhook",
    "list of 100,000 with one twice",
    "CEL: deep parentheses", "FIFO", "device", "1 GiB, sparse", "binary", "40 files of 15 MiB",
)  # fmt: skip
