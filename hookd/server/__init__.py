"""HTTP/1.1 for any application: sockets, connections, requests, responses, and their limits.

Must never: know an event, a delivery, the configuration or the store; it could leave as a package of its own.
"""
