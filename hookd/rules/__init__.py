"""What the configuration says of events and moments, compiled: matching, conditions, templates, the calendar.

Pure: values in, values out. Must never: do I/O, or read a clock.
"""
