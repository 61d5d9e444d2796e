"""YAML as hookd reads it: plain files, a tree with places, and a cursor over it that collects diagnostics.

Must never: build an object that a tag asks for, or know what the configuration means.
"""
