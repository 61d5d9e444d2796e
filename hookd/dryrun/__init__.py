"""Cases of `hookd test`: read from files, and compared with what the configuration would send (spec 8).

Must never: talk to the daemon, send anything, or match and render by itself: that is the daemon's own code (`rules`,
`delivery.request`).
"""

from hookd.dryrun.case import Case, CaseResult, Expected, Mismatch
from hookd.dryrun.case_files import read_cases
from hookd.dryrun.compare import judge

__all__ = ["Case", "CaseResult", "Expected", "Mismatch", "judge", "read_cases"]
