"""`python -m tests.attack [ROW …] [--short] [--seed N]`: attack the real daemon, count, and judge.

Each row says who attacks, what is tried, how often, and what got through. Ends with 1 if anything did.
"""

import sys

from tests.chaos.command import run_proofs

ROWS = {
    "rights": "tokens and local users on every route of the API, by every kind of listener",
    "framing": "clients of nginx and of HAProxy: requests of ambiguous length, and a victim after each",
    "posters": "one who may post, as much as the bounds allow and more: what it costs the others in time and memory",
    "bodies": "JSON texts changed at random, read by the fast reader and by the strict one, which must agree",
    "authors": "files that others could have changed, and rules that cost as much as rules can",
    "receivers": "receivers that send secrets back in every form, or stand where nothing is ever called",
    "readers": "one who may read: large answers left unread, many followers, rare filters",
}

if __name__ == "__main__":
    sys.exit(run_proofs("tests.attack", __doc__, ROWS, "all"))
