"""The version of the package; in a module of its own, so that nothing has to import the package's face for it."""

__version__ = "0.2.0"
