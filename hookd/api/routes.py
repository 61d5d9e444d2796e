"""All the routes of the API.

Must never: answer a request itself.
"""

from hookd.api.actions import ActionRoutes
from hookd.api.admin import AdminRoutes
from hookd.api.event_routes import EventRoutes
from hookd.api.history_routes import HistoryRoutes
from hookd.api.rights import RIGHTS
from hookd.api.services import Services
from hookd.api.tail import TailRoutes
from hookd.server.router import Router


def routes(services: Services) -> Router:
    """The router over the daemon's services."""
    router = Router(RIGHTS)
    EventRoutes(services).register(router)
    ActionRoutes(services).register(router)
    AdminRoutes(services).register(router)
    HistoryRoutes(services).register(router)
    TailRoutes(services).register(router)
    return router
