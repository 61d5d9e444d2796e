"""What the tests of every folder stand on: receivers, daemons, waiting, certificates, values, tools.

Must never: hold an assertion about hookd. Each module is one thing; a folder adds only what it alone needs.
"""
