"""How a loop is compiled: numba, without the interpreter's lock, with its machine code kept on the disk.

The machine code is cached beside the package or in the user's cache, so a second start compiles nothing;
where neither can be written, each start compiles. Dividing by zero gives what numpy gives: a check of every
divisor would keep the loops from running several values at a time.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import extending, types

__all__ = ["compiled", "fetch", "inlined", "popcount"]

_intrinsic: Any = extending.intrinsic


def _decorator(**options: Any) -> Any:
    try:
        numba.njit(cache=True)(lambda: None)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy", **options)
    return numba.njit(cache=True, nogil=True, error_model="numpy", **options)


compiled = _decorator()
inlined = _decorator(inline="always")


@_intrinsic
def popcount(typing: Any, value: Any) -> Any:
    """Return how many bits of a 64-bit word are set, by the processor's own instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@_intrinsic
def fetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the memory of ``array[index]`` (flat index) ahead of its use: a hint, without effect."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(values.data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch.p0",
            fnty=ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), number, number, number]),
        )
        builder.call(hint, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
