"""Whether a receiver's refusals (429, 503) have to do with how fast it is called.

A receiver that limits its rate refuses nothing below it. One of whose four servers is broken refuses every fourth,
however slowly it is called, and slowing down for it would end in a crawl. So rare refusals do not count; and where they
go on while a lane slows down, a trial decides: a few attempts at several times the rate, right after a refusal, when a
limit has nothing left to give. One that limits its rate then refuses most of them, any other as many as before; and its
refusals do not count for a while.

Pure bookkeeping: instants of the monotonic clock come in as arguments. Must never: do I/O or read a clock.
"""

from math import inf

RARE = 50
"""Attempts taken since the last refusal, from which on one is a failure like any other."""

SEEN = 12
SHARE = 0.12
"""A trial needs so many attempts before it, with this share of refusals at least (and `MOST` at most)."""

MOST_SEEN = 48
"""From here on older attempts count half."""

TRIAL = 8
TRIAL_FACTOR = 6
"""The attempts of a trial, and how many times faster they are made."""

MORE = 0.25
MOST = 0.6
"""Refusals are for another cause where a trial has no larger share of them than before and this, and than that."""

FIRST_PAUSE_S = 30.0
FIRST_IGNORED_S = 60.0
LONGEST_S = 600.0
"""How long there is no trial after one that showed a limit, and no refusal counts after one that did not: doubling."""

SUSTAINED_S = 1.0
"""What a receiver took a second is reckoned over this long at least."""


class RefusalCause:
    """What one lane has seen of refusals.

    Attributes:
        taken: attempts that the receiver took since the last refusal.
        sustained_per_s: how many a second it took lately, refusals among them or not; 0 where that is not known.
        trial_began_at: attempts that begin from then on are the trial's; inf: there is none.
    """

    __slots__ = (
        "_before",
        "_ignored_s",
        "_ignored_until",
        "_no_trial_until",
        "_pause_s",
        "_reckoned_at",
        "_refused",
        "_seen",
        "_tried",
        "_tried_refused",
        "sustained_per_s",
        "taken",
        "trial_began_at",
    )

    def __init__(self) -> None:
        self.taken = 0
        self.sustained_per_s = 0.0
        self.trial_began_at = inf
        self._before = 0  # taken since `_reckoned_at`, but for those since the last refusal
        self._reckoned_at = -inf
        self._seen = self._refused = 0.0
        self._tried = self._tried_refused = 0
        self._ignored_until = self._no_trial_until = -inf
        self._ignored_s, self._pause_s = FIRST_IGNORED_S, FIRST_PAUSE_S

    @property
    def factor(self) -> int:
        """How many times faster than the rate that was found attempts are made now."""
        return 1 if self.trial_began_at == inf else TRIAL_FACTOR

    def may_be_rate(self, mono: float) -> bool:
        """Whether a refusal now may be one for the rate."""
        return self.taken < RARE and mono >= self._ignored_until

    def refused(self, mono: float) -> None:
        """Note a refusal, whatever it may mean."""
        self._before += self.taken
        self.taken = 0
        if (elapsed_s := mono - self._reckoned_at) >= SUSTAINED_S:
            self.sustained_per_s = self._before / elapsed_s
            self._reckoned_at, self._before = mono, 0

    def note(self, *, refused: bool, mono: float) -> None:
        """Note how an attempt of a lane that was slowed down ended; after a refusal a trial may begin."""
        if self._seen >= MOST_SEEN:
            self._seen, self._refused = self._seen / 2, self._refused / 2
        self._seen += 1
        self._refused += refused
        enough = self._seen >= SEEN and SHARE <= self._refused / self._seen <= MOST
        if refused and enough and mono >= self._no_trial_until:
            self.trial_began_at = mono
            self._tried = self._tried_refused = 0

    def tried(self, *, refused: bool, mono: float) -> bool:
        """Note how an attempt of the trial ended.

        Returns:
            Whether the trial is over and the rate is not the cause: refusals do not count for a while.
        """
        self._tried += 1
        self._tried_refused += refused
        if self._tried < TRIAL:
            return False
        self.trial_began_at = inf
        share, before = self._tried_refused / self._tried, self._refused / self._seen
        self._seen = self._refused = 0.0
        if share > min(before + MORE, MOST):
            self._no_trial_until = mono + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_S)
            return False
        self._ignored_until = mono + self._ignored_s
        self._ignored_s = min(2 * self._ignored_s, LONGEST_S)
        return True
