"""What a quantizer is made of: equality, hash, copies and pickles go by it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._arrays import as_float32
from blockquant._checks import fraction, real, whole
from blockquant._exchange import read_alike
from blockquant._methods import TABLE
from blockquant.axes import Axes
from blockquant.codes import Codes

_Core = _core.Quantizer
_Self = TypeVar("_Self", bound="Parameters")


class Parameters:
    """The core of a quantizer with the parameters that it is built from.

    Two quantizers are equal if they have the same class and the same parameters, the values of the
    center included. A pickle holds the parameters alone, and what is built from them (rotation,
    codebook) is built again, with the same bytes; copies in one process share it.
    """

    _core: _Core
    _center_digest: str | None = None
    _axes_digest: str | None = None
    _repr: str | None = None

    def _make(self, method: str, dim: int, bits: float, **options: Any) -> None:
        known = TABLE[method]
        dense = options["rotation"] == "haar" or known.has_gamma
        dim = whole(dim, "dim", 1, _core.MAX_DENSE_DIM if dense else _core.MAX_DIM)
        options["seed"] = whole(options["seed"], "seed", 0, 2**64 - 1)
        if options.get("block") is not None:
            options["block"] = whole(options["block"], "block", 1, dim)
        if options.get("states") is not None:
            least, most = known.states[0], known.states[-1]
            options["states"] = whole(options["states"], "states", least, most)
        if options.get("scale_search") is not None:
            count = whole(options["scale_search"], "scale_search", 1, _core.MAX_SCALES)
            options["scale_search"] = count
        is_fitted = options.get("axes") is not None
        bits = real(bits, "bits", _core.MAX_FITTED_BITS if is_fitted else known.most_bits)
        if options["center"] is not None:
            options["center"] = _mean_row(options["center"], dim)
        if (axes := options.get("axes")) is not None:
            if not isinstance(axes, Axes):
                raise TypeError(f"axes is {type(axes).__name__}, expected what `fit` returns")
            options["axes"] = axes._core
        if (criterion := options.get("criterion")) is not None and not isinstance(criterion, str):
            raise TypeError(f"criterion is {type(criterion).__name__}, expected str")
        if options.get("reserve") is not None:
            options["reserve"] = fraction(options["reserve"], "reserve")
        self._take(_Core(method, dim, bits, **options))

    def _take(self, core: _Core) -> None:
        self._core = core
        if (center := core.center) is not None:
            self._center_digest = sha256(center.astype("<f4").tobytes()).hexdigest()[:12]
        if (axes := core.axes) is not None:
            what = f"{axes.digest} {core.groups}"
            self._axes_digest = sha256(what.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Method and scale rule, as :func:`blockquant.create` takes it."""
        core = self._core
        return f"{core.method}/{core.scale}" if TABLE[core.method].scales else core.method

    @property
    def scale(self) -> str:
        """Scale rule: ``none``, ``mse``, ``unbiased``; ``prod`` for TurboQuant's Algorithm 2."""
        return self._core.scale

    @property
    def dim(self) -> int:
        """Coordinates of a row."""
        return self._core.dim

    @property
    def bits(self) -> float:
        """Bits per coordinate."""
        return self._core.bits

    @property
    def block(self) -> int | None:
        """Coordinates of a block, for BlockQuant."""
        return self._core.block

    @property
    def states(self) -> int | None:
        """States of the path, for Trellis."""
        return self._core.states

    @property
    def scale_search(self) -> int | None:
        """How many scales of each row are searched when encoding; None for its own scale alone."""
        return self._core.scale_search

    @property
    def rotation(self) -> str:
        """``hadamard`` or ``haar``."""
        return self._core.rotation

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self._core.seed

    @property
    def store_norm(self) -> bool:
        """Whether codes keep ‖x‖."""
        return self._core.store_norm

    @property
    def center(self) -> NDArray[np.float32] | None:
        """What is subtracted from each row before all else, float32 (dim,), a copy."""
        return self._core.center

    def __repr__(self) -> str:
        # Made once: every call compares it with that of the codes.
        if self._repr is None:
            self._repr = self._describe()
        return self._repr

    def _describe(self) -> str:
        core = self._core
        given = [f"{self.name!r}"]
        bits = int(core.bits) if core.bits.is_integer() else core.bits
        given += [f"dim={core.dim}", f"bits={bits!r}"]
        given += [f"block={core.block}"] if core.block is not None else []
        given += [f"states={core.states}"] if core.states is not None else []
        given += [f"rotation={core.rotation!r}", f"seed={core.seed}"]
        given += ["store_norm=True"] if core.store_norm else []
        given += [f"scale_search={core.scale_search}"] if core.scale_search is not None else []
        # A digest in place of the values: codes of another center are not taken for this one's.
        given += [f"center=<{self._center_digest}>"] if self._center_digest else []
        # It covers the groups, too.
        given += [f"axes=<{self._axes_digest}>"] if self._axes_digest else []
        given += [f"criterion={core.criterion!r}"] if core.criterion is not None else []
        return f"create({', '.join(given)})"

    def _parameters(self) -> dict[str, Any]:
        """What the core takes to build the same again."""
        core = self._core
        return {
            "method": core.method,
            "dim": core.dim,
            "bits": core.bits,
            # The core takes no rule where the method has one of its own.
            "scale": core.scale if TABLE[core.method].scales else None,
            "block": core.block,
            "states": core.states,
            "rotation": core.rotation,
            "seed": core.seed,
            "store_norm": core.store_norm,
            "center": core.center,
            "scale_search": core.scale_search,
            "axes": core.axes,
            "criterion": core.criterion,
            "groups": core.groups,
        }

    def _along(self: _Self, axes: Axes, groups: Sequence[tuple[str, int, float]]) -> _Self:
        """The same along these axes in these groups."""
        twin = self.__copy__()
        given = {"axes": axes._core, "groups": list(groups)}
        twin._take(_Core(**{**self._parameters(), **given}))
        twin._repr = None
        return twin

    def _key(self) -> tuple[Any, ...]:
        """The parameters as one value; a center counts by its bytes, as in its digest."""
        parameters = self._parameters()
        center, axes, groups = (parameters.pop(name) for name in ("center", "axes", "groups"))
        return (
            *parameters.values(),
            None if center is None else center.tobytes(),
            None if axes is None else axes.digest,
            None if groups is None else tuple(groups),
        )

    def _check(self, codes: Codes) -> None:
        """Refuses codes that this quantizer does not read."""
        if not isinstance(codes, Codes):
            raise TypeError(f"codes is {type(codes).__name__}, expected Codes")
        if not read_alike(codes.made_by, repr(self)):
            raise ValueError(f"the codes were made by {codes.made_by}, this is {self!r}")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Parameters)
        return self._core is other._core or self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __getstate__(self) -> dict[str, Any]:
        # Attributes of subclasses stay; what `_take` makes is left out.
        own = {name: value for name, value in vars(self).items() if name not in _MADE}
        parameters = self._parameters()
        if (axes := parameters["axes"]) is not None:
            parameters["axes"] = axes.to_bytes()
        return {**own, "_core": parameters}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = dict(state["_core"])
        if parameters["center"] is not None:  # maybe from a machine with another byte order
            parameters["center"] = np.ascontiguousarray(parameters["center"], np.float32)
        if (axes := parameters.get("axes")) is not None:
            parameters["axes"] = _core.Axes.from_bytes(axes)
        self._take(_Core(**parameters))
        vars(self).update((name, value) for name, value in state.items() if name not in _MADE)

    def __copy__(self: _Self) -> _Self:
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self: _Self, memo: dict[int, Any]) -> _Self:
        twin = self.__copy__()
        memo[id(self)] = twin
        for name, value in vars(self).items():
            if name not in _MADE:  # those never change
                setattr(twin, name, deepcopy(value, memo))
        return twin


#: Attributes that follow from the parameters.
_MADE = ("_core", "_center_digest", "_axes_digest", "_repr")


def _mean_row(center: Any, dim: int) -> NDArray[np.float32]:
    """The center as one row: itself, or the mean of a sample."""
    rows = as_float32(center, dim, "center")
    if len(rows) == 0:
        raise ValueError("center is a sample of 0 rows, expected at least one")
    mean: NDArray[np.float32] = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
