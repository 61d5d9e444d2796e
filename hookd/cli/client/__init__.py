"""What commands ask of the daemon, and how: over its Unix socket or a URL.

Must never: print.
"""
