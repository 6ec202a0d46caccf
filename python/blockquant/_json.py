"""Values that JSON can hold."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """A value for JSON.

    Numbers that are not finite become None, NumPy's arrays and numbers become Python's, and other
    objects become text.

    Examples
    --------
    >>> plain({"a": (1, float("inf")), 2: b"x"})
    {'a': [1, None], '2': "b'x'"}
    """
    if isinstance(value, dict):
        return {str(key): plain(inside) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inside) for inside in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else str(value)
