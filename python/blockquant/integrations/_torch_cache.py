"""The key-value cache on a torch device: `blockquant.KeyValueCache`, with the codes in tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from blockquant._checks import counted, whole
from blockquant.cache import KeyValueCache
from blockquant.integrations._torch_center import Center
from blockquant.integrations._torch_pages import PAGE_TOKENS, Side, coder, joined
from blockquant.integrations._torch_sequence import Pair, Rules, Sequence

#: The most bits per coordinate with logarithmic scales by default.
_MOST_BITS_OF_BYTES = 4.5
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class TorchKeyValueCache:
    """Keys and values of one attention layer in codes, on the device where they are made.

    It takes what :class:`blockquant.KeyValueCache` takes and does the same, except `centroids` and
    `debias`. Codes, scales and centers differ from those of that class by the rounding of float32
    sums alone. Here attention decodes all tokens first: what is saved is memory, not time.

    Parameters
    ----------
    heads, dim : int
        Key-value heads, and coordinates of a key.
    device : torch.device, str or int, optional
        Where the keys and values are; torch's default if it is not given.
    **options
        The other parameters of :class:`blockquant.KeyValueCache`.

    Raises
    ------
    TypeError, ValueError
        Those of :class:`blockquant.KeyValueCache`, and if `centroids` or `debias` is set.

    Examples
    --------
    >>> import torch
    >>> k, v = torch.randn(2, 1, 3, 500, 64)
    >>> cache = TorchKeyValueCache(heads=3, dim=64)
    >>> cache.append(k, v)
    >>> cache.decode()[0].shape, cache.coded, round(cache.bits_per_coded_value, 2)
    (torch.Size([1, 3, 500, 64]), [384], 2.63)
    """

    def __init__(
        self,
        heads: int,
        dim: int,
        *,
        device: torch.device | str | int | None = None,
        **options: Any,
    ) -> None:
        for name in ("centroids", "debias"):
            if options.get(name):
                raise ValueError(
                    f"{name}={options[name]} on a torch device, expected no {name}: only "
                    "blockquant.KeyValueCache has them"
                )
        # This also checks all parameters.
        core = KeyValueCache(heads, dim, **options)
        self.heads, self.dim, self.value_dim = core.heads, core.dim, core.value_dim
        self._rules = Rules(core.sinks, core.window, core.rollback)
        self.device = torch.empty(0, device=device).device
        self._prefix = "" if core.layer is None else f"layer {core.layer}: "
        as_bytes, seed = options.get("byte_scales"), int(options.get("seed", 0))
        rotation = options.get("rotation", "hadamard")
        self._coders, self._as_bytes = [], []
        sides = (core._core.keys, self.dim), (core._core.values, self.value_dim)
        for place, (side, width) in enumerate(sides):
            self._coders.append(coder(side, width, rotation, seed + place, self.device))
            bits = side[2]
            self._as_bytes.append(bits <= _MOST_BITS_OF_BYTES if as_bytes is None else as_bytes)
        centers = {name: options[name] for name in ("center", "rotary") if name in options}
        self._center = Center(self.dim, self.device, **centers)
        self._own_dtype = None if core.dtype is None else getattr(torch, core.dtype)
        self._dtype = self._own_dtype
        self._length = 0
        self._sequences = [self._empty() for _ in range(core.batch)]

    def _empty(self) -> Sequence:
        dtype = self._dtype or torch.float32
        k, v = (
            torch.empty((self.heads, 0, dim), dtype=dtype, device=self.device)
            for dim in (self.dim, self.value_dim)
        )
        return Sequence((k, v), (k, v))

    # ---- what there is

    @property
    def batch(self) -> int:
        """Sequences."""
        return len(self._sequences)

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the numbers, None as long as it is not known."""
        return self._dtype

    @property
    def pads(self) -> list[int]:
        """The leading pads of each sequence."""
        return [one.pads for one in self._sequences]

    @property
    def coded(self) -> list[int]:
        """The coded tokens of each sequence."""
        return [one.coded for one in self._sequences]

    def __len__(self) -> int:
        """The tokens of each sequence, pads included."""
        return self._length

    def __bool__(self) -> bool:
        """True, also without tokens."""
        return True

    @property
    def nbytes(self) -> int:
        """Every stored byte, as :attr:`blockquant.KeyValueCache.nbytes` counts."""
        stored = [tensor for one in self._sequences for tensor in one.tensors()]
        if self._center.given is not None:
            stored.append(self._center.given)
        return _bytes(stored) + 8 * self.batch

    @property
    def bits_per_value(self) -> float:
        """All stored bits per coordinate of the keys and values that the sequences have."""
        return self._per_value(self.nbytes, sum(one.tokens for one in self._sequences))

    @property
    def bits_per_coded_value(self) -> float:
        """Bits of codes and scales per coordinate of the coded tokens."""
        distinct = {id(one.keys): one for one in self._sequences if one.lengths}.values()
        stored = [t for one in distinct for side in one.sides() for t in side.tensors()]
        return self._per_value(_bytes(stored), sum(one.coded for one in distinct))

    def _per_value(self, count: int, tokens: int) -> float:
        values = tokens * self.heads * (self.dim + self.value_dim)
        return 8 * count / values if values else float("nan")

    # ---- tokens

    @torch.no_grad()
    def append(self, k: torch.Tensor, v: torch.Tensor, *, pads: Any = None) -> None:
        """Adds tokens at the end of every sequence, as :meth:`blockquant.KeyValueCache.append`.

        Parameters
        ----------
        k : Tensor, (batch, heads, tokens, dim)
            Keys on the device of the cache, float32, float16 or bfloat16.
        v : Tensor, (batch, heads, tokens, value_dim)
            Values of the same type.
        pads : sequence of int, (batch,), optional
            Leading pads of each sequence in this call.

        Raises
        ------
        TypeError
            If the numbers are of another type.
        ValueError
            If a shape or the device is wrong, pads follow tokens, or a number is not finite. The
            cache is then as before.
        """
        self._check(k, v)
        tokens = k.shape[2]
        counts = self._pads(pads, tokens)
        for what, x in (("keys", k), ("values", v)):
            if not bool(x.isfinite().all()):
                self._refuse_infinite(what, x, counts)
        if tokens == 0:
            return
        grown = [
            one.grown(self._rules, (k[b, :, count:], v[b, :, count:]), count)
            for b, (one, count) in enumerate(zip(self._sequences, counts, strict=True))
        ]
        self._sequences = self._coded(grown)
        self._dtype = k.dtype
        self._length += tokens

    def _check(self, k: torch.Tensor, v: torch.Tensor) -> None:
        tokens = k.shape[2] if k.ndim == 4 else 0
        for what, x, dim in (("keys", k, self.dim), ("values", v, self.value_dim)):
            expected = (self.batch, self.heads, tokens, dim)
            if x.shape != expected:
                raise ValueError(
                    f"{self._prefix}{what} have shape {tuple(x.shape)}, expected {expected}: "
                    "(batch, heads, tokens, coordinates)"
                )
            if x.device != self.device:
                raise ValueError(f"{self._prefix}{what} are on {x.device}, expected {self.device}")
            dtypes = _DTYPES if self._dtype is None else (self._dtype,)
            if x.dtype not in dtypes or x.dtype != k.dtype:
                names = " or ".join(str(dtype) for dtype in dtypes)
                one = "" if self._dtype is None else ", the type of this cache"
                raise TypeError(f"{self._prefix}{what} are {x.dtype}, expected {names}{one}")

    def _pads(self, pads: Any, tokens: int) -> list[int]:
        if pads is None:
            return [0] * self.batch
        counts = [whole(int(count), f"{self._prefix}pads", 0, tokens) for count in pads]
        if len(counts) != self.batch:
            found = counted(len(counts), "number")
            raise ValueError(
                f"{self._prefix}pads has {found}, expected {self.batch}, one per sequence"
            )
        for b, (one, count) in enumerate(zip(self._sequences, counts, strict=True)):
            if count and one.tokens:
                raise ValueError(
                    f"{self._prefix}sequence {b} has {counted(count, 'pad')} after {one.tokens} "
                    "of its own, expected pads before all tokens"
                )
        return counts

    def _refuse_infinite(self, what: str, x: torch.Tensor, pads: list[int]) -> None:
        bad = ~x.isfinite()
        for b, count in enumerate(pads):
            bad[b, :, :count] = False
        if bool(bad.any()):
            b, head, token, place = bad.nonzero()[0].tolist()
            raise ValueError(
                f"{self._prefix}{what}: sequence {b}, head {head}, token {self._length + token}, "
                f"coordinate {place} is {float(x[b, head, token, place])}, expected a finite number"
            )

    def _coded(self, grown: list[Sequence]) -> list[Sequence]:
        """Codes the pages that are due, those of all sequences at once."""
        due, keys, values = [], [], []
        for b, one in enumerate(grown):
            pages = one.due(self._rules)
            if not pages:
                continue
            if self._center.estimates and one.mean is None:
                mean = self._center.mean(one.recent[0], self._rules)
                one = grown[b] = replace(one, mean=mean)
            k, v = (rows[:, : pages * PAGE_TOKENS].to(torch.float32) for rows in one.recent)
            center = self._center.offset(one.mean, self._rules.sinks + one.coded, k.shape[1])
            due.append((b, pages))
            keys.append(k if center is None else k - center)
            values.append(v)
        if due:
            sides = self._encode("keys", 0, keys), self._encode("values", 1, values)
            start = 0
            for b, pages in due:
                some = slice(start, start + pages)
                tokens = slice(start * PAGE_TOKENS, some.stop * PAGE_TOKENS)
                k, v = (side.part(tokens, some) for side in sides)
                grown[b] = grown[b].with_pages(k, v, pages)
                start += pages
        return [one.settled(self._rules) for one in grown]

    def _encode(self, what: str, place: int, rows: list[torch.Tensor]) -> Side:
        try:
            return Side.encode(self._coders[place], torch.cat(rows, 1), self._as_bytes[place])
        except ValueError as error:
            raise ValueError(f"{self._prefix}{what}: {error}") from None

    @torch.no_grad()
    def decode(self, dtype: torch.dtype = torch.float32) -> Pair:
        """All keys and values, decoded where they are coded.

        Parameters
        ----------
        dtype : torch.dtype
            The type of the result.

        Returns
        -------
        k : Tensor, (batch, heads, len(cache), dim)
        v : Tensor, (batch, heads, len(cache), value_dim)
            Pads are zeros.
        """
        shape = (self.batch, self.heads, self._length)
        out = [
            torch.zeros((*shape, dim), dtype=dtype, device=self.device)
            for dim in (self.dim, self.value_dim)
        ]
        some = [(b, one) for b, one in enumerate(self._sequences) if one.lengths]
        lengths = [length for _, one in some for length in one.lengths]
        for place, name in enumerate(("keys", "values")):
            for b, one in enumerate(self._sequences):
                start = one.pads
                for pair, skipped in ((one.sinks, one.coded), (one.recent, 0)):
                    end = start + pair[place].shape[1]
                    out[place][b, :, start:end] = pair[place]
                    start = end + skipped
            if not some:
                continue
            side = joined([getattr(one, name) for _, one in some])
            rows, start = side.decode(self._coders[place], lengths), 0
            for b, one in some:
                part, start = rows[:, start : start + one.coded], start + one.coded
                first = one.sinks[0].shape[1]
                offset = self._center.offset(one.mean, first, one.coded) if place == 0 else None
                to = slice(one.pads + first, one.pads + first + one.coded)
                out[place][b, :, to] = part if offset is None else part + offset
        return out[0], out[1]

    @torch.no_grad()
    def attend(
        self, q: torch.Tensor, *, scale: float | None = None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attention of the newest tokens over all tokens that they see.

        Parameters
        ----------
        q : Tensor, (batch, query_heads, m, dim)
            Queries of the newest m tokens; query head h uses the key-value head
            h // (query_heads // heads).
        scale : float, optional
            The factor of the products of queries and keys; 1/√dim by default.
        mask : Tensor, optional
            Broadcast to (batch, query_heads, m, len(cache)). Booleans: whether a token may be
            attended. Floats: added to the logits.

        Returns
        -------
        Tensor of float32, (batch, query_heads, m, value_dim)
            Zeros for a query that sees no token.

        Raises
        ------
        ValueError
            If a shape is wrong.
        """
        if q.ndim != 4 or q.shape[::3] != (self.batch, self.dim) or q.shape[1] % self.heads:
            raise ValueError(
                f"{self._prefix}q has shape {tuple(q.shape)}, expected ({self.batch}, a multiple "
                f"of {self.heads}, queries, {self.dim})"
            )
        m, n = q.shape[2], self._length
        if m > n:
            raise ValueError(f"{self._prefix}{m} queries for {counted(n, 'token')}")
        k, v = self.decode()
        with torch.autocast(self.device.type, enabled=False):
            groups = q.shape[1] // self.heads
            rows = q.to(torch.float32).reshape(self.batch, self.heads, groups * m, self.dim)
            factor = self.dim**-0.5 if scale is None else scale
            logits = ((factor * rows) @ k.transpose(2, 3)).view(*q.shape[:3], n)
            place = torch.arange(n, device=self.device)
            visible = place <= (place[n - m :])[:, None]
            pads = torch.tensor(self.pads, device=self.device)[:, None, None, None]
            visible = visible & (place >= pads)
            if mask is not None and mask.dtype == torch.bool:
                visible = visible & mask
            elif mask is not None:
                logits = logits + mask
            weights = logits.masked_fill(~visible, -torch.inf).softmax(-1).nan_to_num()
            out = weights.view(self.batch, self.heads, groups * m, n) @ v
        return out.view(*q.shape[:3], self.value_dim)

    def crop(self, n: int) -> None:
        """Keeps the first n tokens of every sequence, as :meth:`blockquant.KeyValueCache.crop`."""
        n = whole(n, f"{self._prefix}n", 0, self._length)
        self._sequences = [one.cropped(self._rules, n) for one in self._sequences]
        self._length = n

    # ---- sequences

    def reorder(self, rows: Any) -> None:
        """Replaces the sequences by those at these positions, as many as there are."""
        places = [int(row) for row in rows]
        if len(places) != self.batch:
            raise ValueError(
                f"{self._prefix}reorder has {counted(len(places), 'position')}, expected "
                f"{self.batch}, one per sequence; select takes any number"
            )
        self.select(places)

    def select(self, rows: Any) -> None:
        """Replaces the sequences by those at these positions, any number of them."""
        places = [
            whole(int(row), f"{self._prefix}position of a sequence", 0, self.batch - 1)
            for row in rows
        ]
        if not places:
            raise ValueError(f"{self._prefix}0 positions of sequences, expected at least one")
        self._sequences = [self._sequences[place] for place in places]

    def repeat(self, times: int) -> None:
        """Repeats each sequence: 0, 0, 1, 1, … for 2."""
        times = whole(times, f"{self._prefix}times", 1)
        self.select([b for b in range(self.batch) for _ in range(times)])

    def reset(self) -> None:
        """Removes all tokens. The number of sequences stays."""
        self._dtype, self._length = self._own_dtype, 0
        self._sequences = [self._empty() for _ in self._sequences]

    def __copy__(self) -> TorchKeyValueCache:
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> TorchKeyValueCache:
        # What the sequences hold never changes, so a copy is a deep one.
        twin = self.__copy__()
        memo[id(self)] = twin
        return twin

    def __repr__(self) -> str:
        sequences, tokens = counted(self.batch, "sequence"), counted(len(self), "token")
        names = [f"{c.quantizer.name} at {c.quantizer.bits:g} bits" for c in self._coders]
        return (
            f"<TorchKeyValueCache of {sequences} of {tokens}, {counted(self.heads, 'head')}, "
            f"{self.nbytes} bytes on {self.device}, keys {names[0]}, values {names[1]}>"
        )


def _bytes(tensors: list[torch.Tensor]) -> int:
    """The bytes of the distinct ones."""
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in tensors}.values())
