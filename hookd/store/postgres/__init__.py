"""The store over PostgreSQL: several hookd processes share one database.

Must never: be imported where the configuration names another engine; `store.open` decides.
"""

from hookd.store.postgres.check import check, migrate, status
from hookd.store.postgres.store import PostgresStore

__all__ = ["PostgresStore", "check", "migrate", "status"]
