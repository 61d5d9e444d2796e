"""hookd: a durable webhook sender for one machine."""

__version__ = "0.1.0"
