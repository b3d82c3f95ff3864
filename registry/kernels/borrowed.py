"""Arrays handed to helpers without counting their owners.

numba counts an owner of an array at each call that it is handed to, an atomic operation that costs more than
a helper that looks at a few bytes. A borrowed array has no owner to count, so its lender must outlive it:
borrow arguments, which the caller holds, and nothing else.
"""

from typing import Any

from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["borrowed"]


def _borrowed(typing: Any, array: Any) -> Any:
    """Return ``array``, an argument of the function that asks, without an owner."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.make_array(array)(context, builder, arguments[0])
        value.meminfo = cgutils.get_null_value(value.meminfo.type)
        return value._getvalue()

    return array(array), generate


borrowed: Any = intrinsic(_borrowed)
