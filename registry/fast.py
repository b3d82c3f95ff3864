"""The compiled loops of :mod:`registry.kernels` where the extra ``[fast]`` is installed, else None.

The only place that asks; who has numpy's way beside the compiled one looks here which to take.
"""

from types import ModuleType

__all__ = ["kernels"]

kernels: ModuleType | None
try:
    from registry import kernels
except ImportError:
    kernels = None
