"""Upload a folder of images and videos to a Visual Layer dataset, with a ledger that survives anything."""

__version__ = "0.1.0"
