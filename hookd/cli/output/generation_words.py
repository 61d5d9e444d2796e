"""A generation of the config in a few words, as `status`, `show`, `reload` and `diff` print it.

Must never: print, or ask the daemon.
"""

from collections.abc import Mapping
from typing import Any

SHORT = 12
"""Characters of a commit's name that are shown; `--json` has it in full."""


def generation_words(generation: Mapping[str, Any]) -> str:
    """`number 3, hash 0123456789ab, commit 89abcdef0123, dirty`, with what of it is known."""
    commit = generation.get("commit")
    words = [f"number {generation['number']}"] if "number" in generation else []
    words.append(f"hash {generation['hash']}")
    if commit:
        words.append(f"commit {str(commit)[:SHORT]}")
    return ", ".join([*words, *(["dirty"] if commit and generation.get("dirty") else [])])
