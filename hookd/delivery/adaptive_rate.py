"""How fast a lane may go whose receiver cannot take all: slow start, and a rate that settles near the receiver's own.

After a hold, and after its receiver was down, a lane begins with one attempt at a time and doubles that with each round
of successes (slow start). A receiver that refuses a part of what it gets for its rate (429, or 503 between successes)
makes the lane keep a rate of its own, by additive increase and multiplicative decrease as TCP does (RFC 5681): each
success adds a little, each refusal takes a share away. All steps are shares of the rate, so that a limit of one in ten
minutes is found by as many attempts as one of a hundred a second.

Pure bookkeeping: instants of the monotonic clock come in as arguments. A lane whose receiver takes everything has none
of this. Must never: do I/O, read a clock, or know a delivery.
"""

from math import inf

FIRST_PER_S = 1.0
"""The rate after the first refusal where nothing is known yet; it doubles with each round of successes."""

ROUND_S = 0.25
"""A rate doubles no more often than this: a receiver may take a burst at any rate, and refuse the next."""

INCREASE = 0.03
"""What each success adds, as a share of the rate that the last refusal left."""

DECREASE = 0.7
"""What a refusal leaves of a rate that was being approached in small steps."""

STEEP_DECREASE = 0.5
"""What a refusal leaves of a rate that was being doubled, and each refusal without a success since the last."""

STALE_RUN = 25
"""Attempts taken in a row from which on what the last refusal said of the rate is stale, and it doubles again."""

SLOWEST_PER_S = 1 / 600
"""However long a receiver refuses everything, one attempt in ten minutes is made."""

FASTEST_PER_S = 10_000.0
"""From here on a rate limits nothing, and is dropped."""

FORGET_S = 600.0
FORGET_ATTEMPTS = 50
"""Without a refusal for this long, and for the time of so many attempts, the limit is taken to be gone."""

LARGEST_WINDOW = 1000
"""From here on a window limits nothing: no webhook's concurrency is larger."""


class AdaptiveRate:
    """What one lane has learned of its receiver.

    An attempt tells something of a change only if it began after it; `began_at` is when it did.

    Attributes:
        window: how many attempts may be under way at once.
        per_s: how many attempts may begin in a second.
    """

    __slots__ = (
        "_lowered_from",
        "_raised_from",
        "_refused_at",
        "_run",
        "_succeeded",
        "_threshold",
        "_widened_from",
        "per_s",
        "window",
    )

    def __init__(self) -> None:
        self.window = inf
        self.per_s = inf
        self._threshold = inf
        self._widened_from = (
            -inf
        )  # when the first attempt began after the window was last widened; inf: none has
        self._lowered_from = -inf  # likewise since the rate was last lowered
        self._raised_from = -inf  # an attempt that begins from then on may double the rate
        self._refused_at = -inf
        self._succeeded = True
        self._run = 0

    @property
    def limits_nothing(self) -> bool:
        """Whether there is nothing left to keep."""
        return self.window == self.per_s == inf

    def start_slowly(self) -> None:
        """Begin with one attempt at a time."""
        self.window = 1
        self._widened_from = inf

    def begin(self, mono: float) -> None:
        """Note an attempt that begins."""
        if self._widened_from == inf:
            self._widened_from = mono
        if self._lowered_from == inf:
            self._lowered_from = mono

    def succeeded(self, began_at: float, mono: float) -> None:
        """Note an attempt that the receiver took, whatever it said of it."""
        if self.window < inf and began_at >= self._widened_from:
            self.window = 2 * self.window if 2 * self.window < LARGEST_WINDOW else inf
            self._widened_from = inf
        if self.per_s < inf and began_at >= self._lowered_from:
            self._succeeded = True
            self._run += 1
            if self._run >= STALE_RUN:
                self._threshold = inf
            self._raise(began_at, mono)

    def _raise(self, began_at: float, mono: float) -> None:
        if self.per_s >= self._threshold:
            self.per_s += INCREASE * self._threshold
        elif began_at >= self._raised_from:
            self.per_s = min(2 * self.per_s, self._threshold)
            self._raised_from = mono + ROUND_S
        forget_s = max(FORGET_S, FORGET_ATTEMPTS / self.per_s)
        if self.per_s >= FASTEST_PER_S or mono - self._refused_at > forget_s:
            self.per_s = self._threshold = inf

    def refused(
        self,
        began_at: float,
        mono: float,
        *,
        at_most: float = inf,
        at_least: float = SLOWEST_PER_S,
        first: float = 0.0,
    ) -> bool:
        """Note an attempt that the receiver refused for its rate.

        Args:
            began_at: when the attempt began.
            mono: now.
            at_most: the rate that is configured.
            at_least: refusals in a row do not lower the rate below this.
            first: the rate to begin with, where it is more than `FIRST_PER_S`.

        Returns:
            Whether that lowered the rate. An attempt that began before the last decrease lowers it no further.
        """
        if self.is_outdated(began_at):
            return False
        if self.per_s == inf:
            self.per_s = min(max(FIRST_PER_S, first), at_most)
        elif self._succeeded:
            left = STEEP_DECREASE if self.per_s < self._threshold else DECREASE
            self.per_s = self._threshold = left * min(self.per_s, at_most)
        else:
            self.per_s = min(self.per_s, max(STEEP_DECREASE * self.per_s, at_least))
        self._succeeded = False
        self._run = 0
        self._refused_at = mono
        self._lowered_from = inf
        return True

    def is_outdated(self, began_at: float) -> bool:
        """Whether an attempt began before the rate was last lowered."""
        return began_at < self._lowered_from
