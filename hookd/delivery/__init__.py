"""From the store to the receiver: claim, send, decide, settle; and what of the history may go.

Must never: take an event in, or open a connection before its claim is durable.
"""
