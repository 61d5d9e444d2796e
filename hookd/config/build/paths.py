"""Paths that hookd makes or opens itself: what other tools fill in there, and hookd takes as it stands.

Must never: create or open what a path names.
"""

import re

from hookd.config.yaml.cursor import Cursor

_FAULTS: tuple[tuple[str, str], ...] = (
    (r"(?i:unix|file|sqlite):", "must be the path alone, without {}"),
    (r"~", "begins with ~, which stands for no home here; write the whole path (./~ where it is a name)"),
    (
        r"%[A-Za-z](?=/)",
        "begins with one of systemd's specifiers, which are not filled in here; write the whole path",
    ),
    (r".*\$[A-Za-z_]", "holds $, and no variables are filled in here; write the whole path"),
)
_DIRECTORY = "is a directory; name a file in it"
_FAULTS_OF_FILES: tuple[tuple[str, str], ...] = (
    (r"@", "must be a path; sockets without one (abstract, @…) are not supported"),
    (r".*/$", _DIRECTORY),
)


def path_fault(cursor: Cursor, *, is_file: bool) -> str | None:
    """What is wrong with a path, as the end of a sentence, or None.

    Args:
        cursor: the path, known to be text.
        is_file: whether it names a file or a socket, not a directory.
    """
    for form, fault in (*_FAULTS, *(_FAULTS_OF_FILES if is_file else ())):
        if found := re.match(form, str(cursor.value), re.DOTALL):
            return fault.format(found[0])
    if is_file and not cursor.scope.portable and cursor.file_of(cursor.value).is_dir():
        return _DIRECTORY
    return None
