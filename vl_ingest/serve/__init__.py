"""The live page: every job of a ledger in a browser, read-only, while runs go on elsewhere.

- `server`    the page on a port, in a thread of this process
- `app`       addresses and answers
- `guard`     who may ask, and what every answer forbids the browser
- `live`      who looks at what: one look at the ledger for all of them, and only what has changed
- `scenes`    what each address shows, made of the ledger's rows
- `follow`    a job's history, taken in as it grows
- `standing`  where a job stands, in people's words
"""

NEEDS = "The live page needs more packages: pip install 'vl-ingest[serve]'."
