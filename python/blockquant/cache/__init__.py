"""The key-value cache of one attention layer, which stays in codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._arrays import as_floats, widened
from blockquant._checks import flag, whole
from blockquant._methods import DEFAULT
from blockquant.cache._arguments import (
    MOST_COUNT,
    MOST_TOKENS,
    center_options,
    coding,
    dtype_name,
    mask_arrays,
    number,
    positions,
    tensor,
    type_name,
    wholes,
)
from blockquant.cache._state import CacheState

_Float = NDArray[np.float32]


class KeyValueCache(CacheState):
    """Keys and values of one attention layer for a batch of sequences, at a few bits each.

    The first tokens (``sinks``) and the newest ones (``window`` to ``window`` + 63) stay exact, and
    pages of 64 tokens between them are coded. Keys are coded without their mean μ, whose part of
    each logit is added exactly. :meth:`attend` computes from the codes and decodes nothing.

    Parameters
    ----------
    heads : int
        Key-value heads.
    dim : int
        Coordinates of a key, 1 to 1,024.
    value_dim : int, optional
        Coordinates of a value, 1 to 1,024; as many as of a key by default.
    batch : int
        Sequences.
    keys, values : str
        Methods, as :func:`blockquant.create` names them; ``blockquant/unbiased`` by default.
    key_bits, value_bits : float
        Bits per coordinate, fractions included where the method takes them.
    key_scale_search, value_scale_search : int, optional
        How many scales of each row are searched for the best codewords, from 3 bits on, as in
        :class:`BlockQuant`.
    window : int
        The newest tokens that always are exact.
    sinks : int
        The first tokens of each sequence, which always stay exact: most heads attend strongly to
        them (arXiv 2309.17453).
    rollback : int
        Tokens that :meth:`crop` takes back exactly. The exact numbers of coded tokens are kept
        until so many further ones have come.
    center : {"static", "rotary"}, array_like (heads, dim), or None
        What is subtracted from keys before they are coded. ``static``: the mean of the sequence's
        first keys. ``rotary``: the mean of the keys without their rotary embedding, which is turned
        by the embedding of each token; this suits keys with such an embedding and needs `rotary`.
        An array: these vectors. The identity of the logits holds for every center, and only the
        gain depends on it.
    rotary : float or array_like (dim/2,), optional
        For ``center="rotary"``: the base θ of the frequencies θ^(−2i/dim), or the frequencies
        themselves, in radians per token. Coordinate i turns with coordinate i + dim/2.
    centroids : int
        0, or 2 to 256 vectors per head, estimated from the same keys, in place of the one mean:
        each token takes the nearest. An index costs log2(centroids) bits per token and head.
    debias : bool
        Whether half the variance that the codes add to a logit is subtracted from it. Needs a
        scale rule ``unbiased`` of the keys; helps at about 2 bits only.
    byte_scales : bool, optional
        Whether each scale is one logarithmic byte instead of a float32. By default bytes up to 4.5
        bits per coordinate, for keys and values apart.
    dtype : {"float32", "float16", "bfloat16"}, optional
        The type of the numbers, which is that of exact tokens; by default that of the first tokens.
    rotation : str
        ``hadamard`` or ``haar``.
    seed : int
        Fixes the rotation of keys; values take the next seed.
    layer : int, optional
        The number of the layer, for error messages.

    Raises
    ------
    TypeError
        If a parameter has the wrong type.
    ValueError
        If a parameter is out of range, or two do not go together.

    Notes
    -----
    The state depends on the tokens alone: the number of threads, the batch and the division of
    tokens into calls of :meth:`append` change no bit of it, nor of any result. An error leaves the
    cache as it was. One call at a time may change a cache; a call of another thread meanwhile is a
    RuntimeError.

    Codes: arXiv 2605.19972 (BlockQuant), 2105.08339 (EDEN), 2405.12497 (RaBitQ) and 2504.19874
    (TurboQuant).

    Examples
    --------
    >>> import numpy as np
    >>> import blockquant as bq
    >>> rng = np.random.default_rng(0)
    >>> k, v = rng.standard_normal((2, 1, 3, 500, 64), dtype=np.float32)
    >>> cache = bq.KeyValueCache(heads=3, dim=64)
    >>> cache.append(k, v)
    >>> q = rng.standard_normal((1, 9, 1, 64), dtype=np.float32)  # three query heads share a head
    >>> cache.attend(q).shape
    (1, 9, 1, 64)
    >>> len(cache), cache.coded, round(cache.bits_per_coded_value, 2)
    (500, [384], 2.63)
    """

    def __init__(
        self,
        heads: int,
        dim: int,
        *,
        value_dim: int | None = None,
        batch: int = 1,
        keys: str = DEFAULT,
        key_bits: float = 3,
        values: str = DEFAULT,
        value_bits: float = 2,
        key_scale_search: int | None = None,
        value_scale_search: int | None = None,
        window: int = 64,
        sinks: int = 4,
        rollback: int = 0,
        center: Any = "static",
        rotary: Any = None,
        centroids: int = 0,
        debias: bool = False,
        byte_scales: bool | None = None,
        dtype: Any = None,
        rotation: str = "hadamard",
        seed: int = 0,
        layer: int | None = None,
    ) -> None:
        dim = whole(dim, "dim", 1, _core.MAX_HEAD_DIM)
        if value_dim is not None:
            value_dim = whole(value_dim, "value_dim", 1, _core.MAX_HEAD_DIM)
        heads = whole(heads, "heads", 1, MOST_COUNT)
        if not isinstance(rotation, str):
            raise TypeError(f"rotation is {type(rotation).__name__}, expected str")
        self._core = _core.KeyValueCache(
            heads,
            dim,
            dim if value_dim is None else value_dim,
            whole(batch, "batch", 1, MOST_COUNT),
            coding(keys, key_bits, key_scale_search, "key"),
            coding(values, value_bits, value_scale_search, "value"),
            window=whole(window, "window", 0, MOST_TOKENS),
            sinks=whole(sinks, "sinks", 0, MOST_TOKENS),
            rollback=whole(rollback, "rollback", 0, MOST_TOKENS),
            centroids=whole(centroids, "centroids", 0),
            debias=flag(debias, "debias"),
            byte_scales=None if byte_scales is None else flag(byte_scales, "byte_scales"),
            dtype=None if dtype is None else dtype_name(dtype),
            rotation=rotation,
            seed=whole(seed, "seed", 0, 2**64 - 1),
            layer=None if layer is None else whole(layer, "layer", 0, 2**32 - 1),
            **center_options(center, rotary),
        )

    def append(self, k: Any, v: Any, *, pads: Any = None) -> None:
        """Adds tokens at the end of every sequence.

        Parameters
        ----------
        k : array_like, (batch, heads, tokens, dim)
            Keys of float32, float16 or bfloat16: NumPy, torch CPU tensors, or anything with DLPack.
            The type is the same for the life of the cache. Arrays whose last axis is contiguous are
            read in place.
        v : array_like, (batch, heads, tokens, value_dim)
            Values of the same type.
        pads : array_like of int, (batch,), optional
            Leading pads of each sequence in this call. They count as tokens and are never attended,
            their keys and values may be anything, and nothing is kept of them. Only before the
            first token of a sequence.

        Raises
        ------
        TypeError
            If the numbers are of another type.
        ValueError
            If a shape is wrong, pads follow tokens, or a number is NaN, infinite or above 1e33 in
            magnitude (layer, sequence, head, token and coordinate named). The cache is then as
            before.

        Examples
        --------
        >>> import numpy as np
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2, batch=2)
        >>> k = np.ones((2, 1, 3, 2), np.float16)
        >>> cache.append(k, k, pads=[0, 2])
        >>> len(cache), cache.pads, cache.dtype
        (3, [0, 2], 'float16')
        """
        (k, is_bfloat16), (v, also) = tensor(k, "k"), tensor(v, "v")
        if is_bfloat16 != also or k.dtype != v.dtype:
            names = (type_name(array, bits) for array, bits in ((k, is_bfloat16), (v, also)))
            raise TypeError("k is {}, v is {}, expected one type".format(*names))
        counts = None if pads is None else wholes(pads, "pads")
        self._core.append(k, v, pads=counts, bfloat16=is_bfloat16)

    def attend(self, q: Any, *, scale: float | None = None, mask: Any = None) -> _Float:
        """Attention of the newest tokens over all tokens that they see, from the codes.

        Parameters
        ----------
        q : array_like, (batch, query_heads, m, dim)
            Queries of the newest m tokens, of float32, float16, bfloat16 or float64. Query i sees
            the tokens up to ``len(cache) − m + i``, pads excluded. Query head h uses the key-value
            head h // (query_heads // heads).
        scale : float, optional
            The factor of the products of queries and keys; 1/√dim by default.
        mask : array_like, optional
            Broadcast to (batch, query_heads, m, len(cache)). Booleans: whether a token may be
            attended, besides the order of tokens. Floats: added to the logits, −inf hides a token.

        Returns
        -------
        ndarray of float32, (batch, query_heads, m, value_dim)
            Σ_j p_j v̂_j with p = softmax(scale·⟨q, k̂_j⟩ + mask), where k̂ and v̂ are the rows that
            :meth:`decode` gives, up to rounding in float32. Zeros for a query that sees no token.
            The result of a query does not depend on the other queries.

        Raises
        ------
        TypeError
            If the queries or the mask have the wrong type.
        ValueError
            If a shape is wrong, or a query, the scale or the mask has a number that is not allowed.

        Examples
        --------
        >>> import numpy as np
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2)
        >>> k = np.float32([[[[1, 0], [0, 1]]]])
        >>> cache.append(k, 2 * k)
        >>> cache.attend(k)[0, 0].round(2)
        array([[2.  , 0.  ],
               [0.66, 1.34]], dtype=float32)
        """
        queries, is_bfloat16 = as_floats(q, "q")
        if queries.ndim != 4:
            raise ValueError(
                f"q has shape {queries.shape}, expected (batch, query_heads, queries, dim)"
            )
        if scale is not None:
            scale = number(scale, "scale")
        q = widened(queries, is_bfloat16)
        allowed, added = mask_arrays(mask, (*q.shape[:3], len(self)))
        return self._core.attend(q, scale=scale, allowed=allowed, added=added)

    def decode(self) -> tuple[_Float, _Float]:
        """All keys and values, decoded where they are coded.

        Returns
        -------
        k : ndarray of float32, (batch, heads, len(cache), dim)
        v : ndarray of float32, (batch, heads, len(cache), value_dim)
            Pads are zeros.

        Examples
        --------
        >>> import numpy as np
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2)
        >>> cache.append(np.ones((1, 1, 3, 2), np.float32), np.ones((1, 1, 3, 2), np.float32))
        >>> cache.decode()[0].shape
        (1, 1, 3, 2)
        """
        return self._core.decode()

    def crop(self, n: int) -> None:
        """Keeps the first n tokens of every sequence, pads included.

        If at most `rollback` tokens are taken back, counted from the greatest length since, the
        cache attends and decodes as one that never had them, bit for bit. A longer crop keeps what
        is coded in codes: the next token begins a new page, and the means stay, except in a
        sequence that has no coded token left.

        Parameters
        ----------
        n : int
            At most ``len(cache)``.

        Raises
        ------
        TypeError
            If it is not a whole number.
        ValueError
            If it is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2)
        >>> cache.append(np.ones((1, 1, 3, 2), np.float32), np.ones((1, 1, 3, 2), np.float32))
        >>> cache.crop(1)
        >>> len(cache)
        1
        """
        self._core.crop(whole(n, "n", 0, len(self)))

    def reorder(self, rows: Any) -> None:
        """Replaces the sequences by those at these positions, as beam search does.

        Pages are shared, and no token moves.

        Parameters
        ----------
        rows : array_like of int, (batch,)
            The old position of each sequence.

        Raises
        ------
        TypeError
            If these are not integers.
        ValueError
            If the number differs, or a position is out of range.

        Examples
        --------
        >>> import blockquant as bq
        >>> bq.KeyValueCache(heads=1, dim=2, batch=3).reorder([2, 0, 0])
        """
        self._core.reorder(positions(rows, self.batch))

    def select(self, rows: Any) -> None:
        """Replaces the sequences by those at these positions, any number of them.

        Parameters
        ----------
        rows : array_like
            Positions, each any number of times, or a boolean for each sequence; at least one.

        Raises
        ------
        TypeError
            If these are neither integers nor booleans.
        ValueError
            If there are none, or a position is out of range.

        Examples
        --------
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2, batch=3)
        >>> cache.select([2, 2, 0, 1])
        >>> cache.batch
        4
        """
        self._core.select(positions(rows, self.batch))

    def repeat(self, times: int) -> None:
        """Repeats each sequence, 0, 0, 1, 1, … for 2, and shares its pages.

        Parameters
        ----------
        times : int
            At least 1.

        Raises
        ------
        TypeError
            If it is not a whole number.
        ValueError
            If it is below 1.

        Examples
        --------
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2)
        >>> cache.repeat(4)
        >>> cache.batch
        4
        """
        self._core.repeat(whole(times, "times", 1, MOST_COUNT))

    def reset(self) -> None:
        """Removes all tokens. The number of sequences stays.

        Examples
        --------
        >>> import blockquant as bq
        >>> cache = bq.KeyValueCache(heads=1, dim=2)
        >>> cache.reset()
        >>> len(cache)
        0
        """
        self._core.reset()
