"""The store in one SQLite file: a thread that owns the file, and coroutines that ask it."""

from hookd.store.sqlite.open import deep_check
from hookd.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "deep_check"]
