"""What can come of one call of the database, as the rest of the engine needs to tell it apart.

Must never: name a class of the driver.
"""

from hookd.domain.errors import StoreUnavailable, StoreUnusable


class Unreachable(StoreUnavailable):
    """There is no connection; nothing was sent."""


class InDoubt(StoreUnavailable):
    """The connection was lost while the call was under way: whether it was done is not known yet."""


class Declined(StoreUnavailable):
    """The server answered that it cannot do it now; nothing was done."""


class RunAgain(StoreUnavailable):
    """Two calls were in each other's way and this one gave in; nothing was done, and soon it can be."""


class Overtaken(Exception):
    """Something is stored that the call did not know of; nothing was done."""


class ValueRefused(ValueError):
    """The server takes one of the values for none; nothing was done."""


class Forbidden(StoreUnusable):
    """The server will not have us, and asking again does not help.

    Attributes:
        sqlstate: the server's code, or empty.
    """

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
