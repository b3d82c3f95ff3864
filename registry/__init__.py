"""Caveat: a registry of training-data opt-outs and consent, and the client that obeys it.

The names here are the core's vocabulary: values and pure functions. The client is :mod:`registry.client`,
the command line :mod:`registry.cli`, the service :mod:`api`; none of them is imported from here.
"""

from registry.decision import Decision, decide
from registry.errors import CaveatError
from registry.preference import Mode, Preference, Status, Use
from registry.statement import Statement
from registry.urls import CanonicalUrl, UrlRule, canonicalize_url, url_rule

__version__ = "0.1.0"

__all__ = [
    "CanonicalUrl",
    "CaveatError",
    "Decision",
    "Mode",
    "Preference",
    "Statement",
    "Status",
    "UrlRule",
    "Use",
    "__version__",
    "canonicalize_url",
    "decide",
    "url_rule",
]
