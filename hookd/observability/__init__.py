"""What hookd says about itself: the log, its tail, the metrics.

Must never: decide anything, or hold a secret.
"""
