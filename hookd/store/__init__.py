"""Durable storage of events, deliveries and attempts: the contract (`base`) and its engines."""
