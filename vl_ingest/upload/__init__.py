"""The first half of a job: find the files, create the dataset, send every file, record each receipt.

Imports `run`, `source` and below. `steps.upload` does it all; `preview.Previewer` says what it would do. The way of a
batch: `backlog` claims it as `plan` cuts it, `courier` carries it, `answers` decides, `send` records.
"""
