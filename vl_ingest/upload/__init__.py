"""The first half of a job: find the files, create the dataset, send every file, record each receipt.

Imports `run`, `source` and below. `steps.upload` does it all; `preview.preview` says what it would do.
"""
