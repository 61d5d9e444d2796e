"""What commands print: tables, lines, sentences, fit for a terminal.

Must never: ask the daemon.
"""
