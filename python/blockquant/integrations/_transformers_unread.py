"""A stand-in for keys or values that stay in codes: it has a shape and refuses to be computed with.

The attention function of `enable` knows how to read it. Everything else gets an error, so a model
that computes attention in its own way never works with wrong numbers.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch

# A model may ask for these; every other name of a tensor is refused.
_KNOWN = "shape, dtype, device, ndim, size() and dim()"


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"{what} on keys or values of a compressed cache: this model computes attention outside of "
        f"transformers' attention functions, and codes have only {_KNOWN}; call "
        "blockquant.integrations.transformers.disable(model)"
    )


class Unread:
    """Keys or values of all tokens of a layer, not decoded.

    Parameters
    ----------
    call : Waiting
        The new tokens and the layer that they belong to.
    new : tensor, (batch, heads, tokens, dim)
        Keys or values of the new tokens, whose shape, type and device this takes.
    """

    __slots__ = ("call", "device", "dtype", "shape")

    def __init__(self, call: Any, new: Any) -> None:
        self.call = call
        batch, heads, _, dim = new.shape
        self.shape = type(new.shape)((batch, heads, call.end, dim))
        self.dtype, self.device = new.dtype, new.device

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return 4

    def dim(self) -> int:
        """Number of axes."""
        return 4

    def size(self, axis: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if axis is None else self.shape[axis]

    def to(self, *args: Any, **kwargs: Any) -> Unread:
        """These keys, if they are asked to be of the type and where they are; refused otherwise."""
        found = torch.empty(0, dtype=self.dtype, device=self.device).to(*args, **kwargs)
        if (found.dtype, found.device) != (self.dtype, self.device):
            _refuse(".to another type or device")
        return self

    def __repr__(self) -> str:
        return f"Unread(shape={tuple(self.shape)}, dtype={self.dtype}, device={self.device})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f".{name}")

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> NoReturn:
        """Refuse every function of torch."""
        _refuse(f"torch's {getattr(func, '__name__', func)}")


def _refusing(name: str) -> Any:
    def method(self: Unread, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(name)

    return method


for _name in (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("radd", "rsub", "rmul", "rmatmul", "rtruediv", "rfloordiv", "rmod", "rpow"),
    *("iadd", "isub", "imul", "imatmul", "itruediv"),
    *("lt", "le", "gt", "ge", "and", "or", "xor", "neg", "invert", "abs"),
    *("getitem", "setitem", "len", "iter", "bool", "float", "int", "array", "dlpack", "contains"),
):
    setattr(Unread, f"__{_name}__", _refusing(f"__{_name}__"))
