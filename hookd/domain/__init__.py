"""The words of the field as frozen values and plain rules; every room above speaks in them.

Must never: do I/O, read a clock (but for `clock`, which is one), or import another room.
"""
