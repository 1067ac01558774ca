"""From the ledger to a report: text, JSON, CSV, or one HTML page. Neither server nor folder is asked.

- `write`   one of the formats, to a stream or a file
- `history` event by event
- `story`   what happened, as one value
- `table`   a row a file
- `text`    what fits one screen
- `page`    the HTML page

A report made earlier is held against the ledger by `proof.report`.
"""

FORMATS = ("text", "json", "csv", "html")
NEEDS = "The page needs more packages: pip install 'vl-ingest[report]'."
