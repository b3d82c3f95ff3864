"""The compiled loops of :mod:`registry.kernels` where the extra ``[fast]`` is installed, else None.

The only place that asks; who has numpy's way beside the compiled one looks here which to take::

    if fast.kernels is not None:
        return fast.kernels.keys.find(…)

They are loaded when somebody looks, not before: the compiler behind them takes 0.3 s, and most commands
neither hash nor search.
"""

from types import ModuleType

__all__ = ["kernels"]

kernels: ModuleType | None


def __getattr__(name: str) -> ModuleType | None:
    """Return ``kernels``, found out by the first who asks."""
    if name != "kernels":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    global kernels
    try:
        from registry import kernels as found
    except ImportError:
        kernels = None
    else:
        kernels = found
    return kernels
