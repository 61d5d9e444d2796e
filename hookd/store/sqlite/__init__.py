"""The store in one SQLite file: a host that owns the file, a thread or a process, and coroutines that ask it.

Must never: import `store` here; the process of the store has no use for an event loop.
"""
