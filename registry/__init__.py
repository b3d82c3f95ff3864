"""Caveat: a registry of training-data opt-outs and consent, and the client that obeys it."""

__version__ = "0.1.0"
