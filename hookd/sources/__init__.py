"""Where events come from, besides the API: the spool, the schedules, hookd itself.

Must never: match, render or store; every event goes through `intake`.
"""
