"""The other direction: a dataset made searchable, for those who ask whether their works are in it.

from registry.client import DatasetIndex, index_dataset

summary = index_dataset("my-set")
index = DatasetIndex.open(summary.folder)
index.find("ada.example").count
"""

from registry.client.indexing.building import IndexSummary, index_dataset, index_folder_of
from registry.client.indexing.files import DatasetIndex
from registry.dataset_index import Answer, Counts, Found

__all__ = [
    "Answer",
    "Counts",
    "DatasetIndex",
    "Found",
    "IndexSummary",
    "index_dataset",
    "index_folder_of",
]
