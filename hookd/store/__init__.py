"""Durable storage of events, deliveries and attempts: the contract (`contract`) and its engines."""
