"""Proofs that hookd loses nothing and lets no receiver hurt another: `python -m tests.chaos --help`."""
