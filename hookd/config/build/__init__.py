"""From YAML with places to frozen definitions: one module for each kind of thing that a configuration declares.

Must never: raise for what is in the files; what is wrong becomes a diagnostic at its place.
"""
