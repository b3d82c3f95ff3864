"""Indexes of datasets, opened and searched: "are my works in it?", for the command line and the service.

index = OpenIndex.open("my-set.caveat-index")
index.find("ada.example").count
index.find_picture("mine.jpg", registered_fingerprint(picture, data)).found

Making one is :mod:`registry.client.indexing`: that reads datasets, and this reads nothing but the index.
"""

from registry.dataset_index.part import Counts
from registry.dataset_index.query import Query, read_query
from registry.dataset_index.searching import Answer, Found, OpenIndex

__all__ = ["Answer", "Counts", "Found", "OpenIndex", "Query", "read_query"]
