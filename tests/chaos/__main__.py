"""`python -m tests.chaos [PROOF …] [--short] [--seed N]`: drive the real daemon through faults, count, and judge.

Prints one JSON object for each proof, and ends with 1 if a promise was broken.
"""

import sys

from tests.chaos.command import run_proofs

PROOFS = {
    "soak": "random faults under load, then three books are reconciled (the default)",
    "mutants": "the soak against daemons with a fault built in: each must be caught",
    "crash": "SIGKILL at random and at every system call that matters; the order of fsync and 202",
    "storing": "the process of the store killed, stopped and out of memory while hookd lives on",
    "disk": "full, failing, read-only and slow disks; damaged files; migrations cut off",
    "backlog": "a million pending deliveries",
    "receivers": "every status, hostile answers, dead names",
    "isolation": "receivers that hang beside healthy ones; the breaker",
    "intake": "overload, slow clients, floods, fuzz",
    "reload": "writers of every kind, reloads with deliveries in flight, hostile files",
    "time": "steps of the wall clock, a frozen process",
    "stop": "SIGTERM under load, twice, and while blocked",
    "secrets": "canary values through every error path; doors that must be shut",
}


if __name__ == "__main__":
    sys.exit(run_proofs("tests.chaos", __doc__, PROOFS, "soak"))
