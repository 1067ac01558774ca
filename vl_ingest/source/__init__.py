"""Where the files come from: what can be walked, looked at and opened by relative path.

Imports `domain` and `clock`. `Folder` is the one source there is.
"""
