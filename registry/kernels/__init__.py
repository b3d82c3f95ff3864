"""Compiled loops for the arithmetic that costs; numba, from the extra ``[fast]``, is needed here alone.

One file a room that they serve. Each function gives what the way without it gives, to the bit.
:mod:`registry.fast` says whether they are there.
"""

from registry.kernels import candidates, canonical, hamming, keys, pixels, sha256, urls

__all__ = ["candidates", "canonical", "hamming", "keys", "pixels", "sha256", "urls"]
