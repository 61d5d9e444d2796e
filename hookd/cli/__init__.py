"""The command line (spec 8): `main` finds the command, `commands` has them, one module each.

`client` talks to the daemon, `output` writes for people, `testbench` is the receiver and the demo.
"""
