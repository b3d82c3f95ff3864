"""Arrow, untyped: its stubs lag behind its releases, and take an array for one kind where it is another."""

from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet

__all__ = ["Column", "compute", "pa", "parquet"]

Column = Any
"""An Arrow array."""

pa: Any = pyarrow
compute: Any = pyarrow.compute
parquet: Any = pyarrow.parquet
