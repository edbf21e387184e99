"""The two decorators behind every compiled kernel.

Kernels are compiled by numba, cached on disk, and must give the same bits for one instance as for
four thousand. Hence the fixed options: no ``fastmath`` (it would reorder sums and fuse operations
as the vector width suggests) and NumPy's error model (a division by zero gives inf or NaN instead
of a branch that raises). A parallel kernel may split its instances over threads, but must not
reduce across them: the order of such a sum depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

#: Loop over instances that ``compiled_parallel`` spreads over threads; a plain ``range`` elsewhere.
prange = numba.prange


def compiled(function: F) -> F:
    """Compile ``function`` for the types it is called with and cache the result on disk.

    The type of the function is kept, so that checkers see its annotations.
    """
    return cast(F, numba.njit(function, cache=True, error_model="numpy"))


def compiled_parallel(function: F) -> F:
    """Compile like :func:`compiled`, with loops over :data:`prange` spread over threads.

    Each iteration must write only what belongs to it (its instance), for results to be the same
    for any number of threads.
    """
    return cast(F, numba.njit(function, cache=True, error_model="numpy", parallel=True))
