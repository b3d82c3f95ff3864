"""The client: asks registries, and filters datasets by what they answer.

from registry.client import RegistryClient, filter_dataset

with RegistryClient("https://registry.example", key) as registry:
    summary = filter_dataset("my-set", "my-set-clean", [registry])
"""

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
