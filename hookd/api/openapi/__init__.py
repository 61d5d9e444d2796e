"""The description of the API that `GET /openapi.json` answers (OpenAPI 3.1, spec 9).

`operations` has one entry for each route, `schemas` the shapes they name (`taken`: those of requests), `document` puts
them together. A test walks the router's routes, and another one looks at what the routes really answer, so that
neither can drift.

Must never: decide what a route does.
"""

from hookd.api.openapi.document import document

__all__ = ["document"]
