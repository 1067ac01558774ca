"""The first half of a job: find the files, create the dataset, send every file, record each receipt.

Imports `run`, `couriers`, `source` and below. `steps.upload` does it all; `preview.Previewer` says what it would do. The
way of a batch: `backlog` claims it as `plan` cuts it, `send` hands it over and records its receipt, `crew` chooses who
carries it; without a receipt `answers` decides what follows, and `consequences` carries that out.
"""
