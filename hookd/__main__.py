"""Lets `python -m hookd` and the installed `hookd` script run the command line.

Must never: import anything but `hookd.cli.main`, because the time `hookd emit` takes to start is counted from
here.
"""

import sys

from hookd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
