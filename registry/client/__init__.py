"""The client: asks registries, and filters datasets by what they answer.

from registry.client import RegistryClient, filter_dataset

with RegistryClient("https://registry.example", key) as registry:
    summary = filter_dataset("my-set", "my-set-clean", [registry])

Each name is loaded when it is asked for: a process that hashes pictures needs little of what there is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.client.filtering import Options, Progress, filter_dataset
    from registry.client.http import Asked, Known, RegistryClient
    from registry.client.indexing import DatasetIndex, IndexSummary, index_dataset
    from registry.client.snapshot import Snapshot
    from registry.client.summary import FilterSummary
    from registry.client.verdicts import Rules, Verdict

__all__ = [
    "Asked",
    "DatasetIndex",
    "FilterSummary",
    "IndexSummary",
    "Known",
    "Options",
    "Progress",
    "RegistryClient",
    "Rules",
    "Snapshot",
    "Verdict",
    "filter_dataset",
    "index_dataset",
]

_MODULES = {
    "filtering": ("Options", "Progress", "filter_dataset"),
    "http": ("Asked", "Known", "RegistryClient"),
    "indexing": ("DatasetIndex", "IndexSummary", "index_dataset"),
    "snapshot": ("Snapshot",),
    "summary": ("FilterSummary",),
    "verdicts": ("Rules", "Verdict"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
