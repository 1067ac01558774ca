"""What the words mean: states, events, errors, settings, names. Values and decisions, no effects.

Imports nothing of ours. Public through `vl_ingest.model` and `vl_ingest.errors`.
"""
