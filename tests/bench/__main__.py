"""`python -m tests.bench throughput|latency|memory|emit`: figures as ratios within one run, printed as JSON."""

import argparse
import json
import sys

from tests.bench import emit, latency, memory, throughput

BENCHES = {
    "throughput": throughput.main,
    "latency": latency.main,
    "memory": memory.main,
    "emit": emit.main,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", choices=sorted(BENCHES))
    print(json.dumps(BENCHES[parser.parse_args().bench](), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
