"""A real registry with a published log, for programs that others wrote to read.

The scripts beside this file are imported by name, as they import each other.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
