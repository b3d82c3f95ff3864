"""Consent signals: what a work, its headers and its site say themselves, read under one model.

One file a protocol; each reads one kind of text into statements by that protocol's own rules, and says its
version. What follows from them is decided in :mod:`registry.decision`, and nowhere else.
"""

from registry.signals.observation import Fault, Observation, Origin, Reading, SiteFile, joined, statement

__all__ = ["Fault", "Observation", "Origin", "Reading", "SiteFile", "joined", "statement"]
