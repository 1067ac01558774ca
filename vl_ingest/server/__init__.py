"""The Visual Layer API: one method an endpoint, one request each; the streaming bodies; tokens.

Imports `domain` and `clock`, and knows nothing of the ledger: what a request came to is its answer or an error, which the
caller records. `api.Api` is the way in, `optional.Extras` to what a server may lack; `credentials.find` finds their tokens.
"""
