"""Attacks on the real daemon: who tries what, how often, and what got through, which must be nothing.

Each row is a module with `async def prove(options) -> Findings`; `python -m tests.attack` runs them.
"""
