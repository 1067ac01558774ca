"""A folder that grows: what is new is added to the dataset that has been processed, each addition exactly once.

An addition is one request, and upload and trigger in one: its intent is committed before it is sent, with what the server
shows of the dataset; where its outcome is unknown, only what the server shows then decides. `steps.add` is the way in:
`choose` says what goes together, `send` makes the request, `settle` decides what became of it by `evidence`, `follow`
watches until the server is done. Imports `upload` for the scan and the plan, `proof` for the server's list, and below.
"""
