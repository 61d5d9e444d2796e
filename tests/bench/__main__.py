"""`python -m tests.bench NAME`: figures, as ratios within one run where there is something to compare, as JSON."""

import argparse
import json
import sys

from tests.bench import emit, latency, listings, memory, rate_limit, throughput, webhooks

BENCHES = {
    "throughput": throughput.main,
    "latency": latency.main,
    "memory": memory.main,
    "emit": emit.main,
    "webhooks": webhooks.main,
    "rate_limit": rate_limit.main,
    "listings": listings.main,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", choices=sorted(BENCHES))
    print(json.dumps(BENCHES[parser.parse_args().bench](), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
