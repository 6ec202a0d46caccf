"""The state of a cache: its parameters, its memory, and how it is copied, pickled and saved."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from blockquant import _core
from blockquant._checks import counted

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Self = TypeVar("_Self", bound="CacheState")


class CacheState:
    """What :class:`KeyValueCache` knows of itself. Not made directly."""

    _core: _core.KeyValueCache

    @property
    def heads(self) -> int:
        """Key-value heads."""
        return self._core.heads

    @property
    def dim(self) -> int:
        """Coordinates of a key."""
        return self._core.dim

    @property
    def value_dim(self) -> int:
        """Coordinates of a value."""
        return self._core.value_dim

    @property
    def batch(self) -> int:
        """Sequences, which :meth:`select` and :meth:`repeat` change."""
        return self._core.batch

    @property
    def window(self) -> int:
        """The newest tokens that always are exact."""
        return self._core.window

    @property
    def sinks(self) -> int:
        """The first tokens of each sequence, which always stay exact."""
        return self._core.sinks

    @property
    def rollback(self) -> int:
        """Tokens that :meth:`crop` takes back exactly."""
        return self._core.rollback

    @property
    def layer(self) -> int | None:
        """The number of the layer."""
        return self._core.layer

    @property
    def dtype(self) -> str | None:
        """The type of the numbers, None as long as it is not known."""
        return self._core.dtype

    @property
    def pads(self) -> list[int]:
        """The leading pads of each sequence."""
        return self._core.pads

    @property
    def coded(self) -> list[int]:
        """The coded tokens of each sequence."""
        return self._core.coded

    @property
    def nbytes(self) -> int:
        """Every stored byte: codes, scales, centers, indexes of centroids, exact tokens and pads.

        Pages that sequences share count once. Room for tokens to come, the tables of pages, and
        what follows from the parameters (rotation, codebook) do not count.
        """
        return self._core.nbytes

    @property
    def bits_per_value(self) -> float:
        """All stored bits per coordinate of the keys and values that the sequences have."""
        return self._core.bits_per_value

    @property
    def bits_per_coded_value(self) -> float:
        """Bits of codes, scales and centroid indexes per coordinate of the coded tokens."""
        return self._core.bits_per_coded_value

    def __len__(self) -> int:
        """The tokens of each sequence, pads included."""
        return len(self._core)

    def __bool__(self) -> bool:
        """True, also without tokens: whether there is a cache is another question."""
        return True

    def save(self, path: _Path) -> None:
        """Writes the cache with all its tokens to one self-describing file.

        The file is in the safetensors format, with the parameters and checksums in its metadata;
        ``rust/cache/stored.rs`` describes it. Equal caches give equal bytes, and shared pages are
        stored once. The file is written completely or not at all: if writing fails, an existing
        file stays as it was.

        Parameters
        ----------
        path : path-like
            The file. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.

        See Also
        --------
        load : Reads the file.

        References
        ----------
        safetensors, https://github.com/huggingface/safetensors

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2)
        >>> cache.append(np.ones((1, 1, 3, 2), np.float32), np.ones((1, 1, 3, 2), np.float32))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache.save(f"{folder}/cache.safetensors")
        ...     len(bq.KeyValueCache.load(f"{folder}/cache.safetensors"))
        3
        """
        self._core.save(os.fsdecode(path))

    @classmethod
    def load(cls: type[_Self], path: _Path) -> _Self:
        """Reads a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        KeyValueCache
            With the same state, bit for bit.

        Raises
        ------
        ValueError
            If the file is damaged, does not hold a cache, has another version, or was written by a
            build with another codebook or rotation. The error names the path and the place.
        OSError
            If the file cannot be read.

        See Also
        --------
        save : Writes the file.

        Examples
        --------
        >>> import blockquant as bq
        >>> bq.KeyValueCache.load(__file__)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: ...this is not a file of a key-value cache: ...
        """
        cache = cls.__new__(cls)
        cache._core = _core.KeyValueCache.load(os.fsdecode(path))
        return cache

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_core": self._core.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._core = _core.KeyValueCache.from_bytes(state["_core"])

    def __copy__(self: _Self) -> _Self:
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        twin._core = self._core.copy()
        return twin

    def __deepcopy__(self: _Self, memo: dict[int, Any]) -> _Self:
        # Shared pages are copied when they are written to, so a copy is a deep one.
        twin = self.__copy__()
        memo[id(self)] = twin
        return twin

    def __repr__(self) -> str:
        sequences = counted(self.batch, "sequence")
        tokens = counted(len(self), "token")
        sides = (_described(side) for side in (self._core.keys, self._core.values))
        return (
            f"<KeyValueCache of {sequences} of {tokens}, {counted(self.heads, 'head')}, "
            f"{self.nbytes} bytes, keys {next(sides)}, values {next(sides)}>"
        )


def _described(side: tuple[str, str | None, float, int | None]) -> str:
    """A coding as the representation names it."""
    method, scale, bits, scales = side
    name = method if scale is None else f"{method}/{scale}"
    searched = "" if scales is None else f", {scales} scales"
    return f"{name} at {bits:g} bits{searched}"
