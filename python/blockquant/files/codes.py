"""Files that hold a quantizer and its codes."""

from __future__ import annotations

import mmap  # noqa: F401 - `np.memmap` would import it at its first use, see `_objects`
import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._checks import flag
from blockquant.codes import Codes
from blockquant.files import parquet, tables, tensors
from blockquant.methods import FACES
from blockquant.quantizer import Quantizer

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def save(path: _Path, quantizer: Quantizer, codes: Codes) -> None:
    """Writes a quantizer and its codes to one self-describing file.

    The file is in the safetensors format. Its tensors are ``packed``, ``scale`` and, if the codes
    have them, ``norm``, ``residual_norm``, ``center_product`` and ``center``. The metadata has the
    parameters and checksums; ``rust/file/mod.rs`` describes the format. Equal codes give equal
    bytes. The file is written completely or not at all: if writing fails, an existing file stays
    as it was.

    Parameters
    ----------
    path : path-like
        The file. An existing file is replaced, even while :func:`load` has it mapped (except on
        Windows, where that is an error).
    quantizer : Quantizer
        The quantizer that made the codes.
    codes : Codes
        The codes. They may be mapped from a file.

    Raises
    ------
    TypeError
        If `quantizer` is not a quantizer of this package, or `codes` is not a Codes.
    ValueError
        If the codes come from another quantizer, or a scale or norm is not finite.
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
    >>> import tempfile, blockquant as bq
    >>> q = bq.Eden(dim=384, bits=2)
    >>> codes = q.encode(bq.sample()[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bq.save(f"{folder}/codes.safetensors", q, codes)
    ...     same, back = bq.load(f"{folder}/codes.safetensors")
    ...     same, back == codes
    (create('eden/unbiased', dim=384, bits=2, rotation='hadamard', seed=0), True)
    """
    if not isinstance(quantizer, Quantizer):
        raise TypeError(f"quantizer is {type(quantizer).__name__}, expected a Quantizer")
    quantizer._check(codes)
    _core.save(os.fsdecode(path), quantizer._core, codes._arrays())


def holds_codes(path: str) -> bool:
    """Whether :func:`load` takes a file of this name for codes; only it tells whether they are.

    Examples
    --------
    >>> holds_codes(__file__)
    False
    """
    if parquet.is_parquet(path):
        return bool(tables.code_columns(path))
    return tensors.is_codes(path)


def load(path: _Path, verify: bool = True) -> tuple[Quantizer, Codes]:
    """Reads a file that :func:`save` or :meth:`Index.save` wrote, without the ids of an index.

    The codes are views of the mapped file.

    A Parquet file with one column of codes, as ``blockquant encode`` writes it, is read too; then
    the codes are in memory of their own, and `verify` is about the checksums of its pages.

    Any byte that :func:`save` would not have written is an error. The header and the sizes are
    always checked. So a file that is read without verification can hold wrong numbers, but never a
    wrong shape or a wrong quantizer.

    Parameters
    ----------
    path : path-like
        The file. It must not be changed in place or shortened while the codes are in use.
        Replacing it, as :func:`save` does, is safe.
    verify : bool
        Whether to compare every tensor with its checksum and to check that scales and norms are
        finite. This reads the whole file once, at some 4 GB/s if it is in the page cache.

    Returns
    -------
    quantizer : Quantizer
        The quantizer, built from the header.
    codes : Codes
        Read-only views of the mapped file. On big-endian machines scales and norms are copies.

    Raises
    ------
    TypeError
        If `verify` is not a bool.
    ValueError
        If the file is damaged, does not hold codes of this package, has another version, or was
        written by a build with another codebook or rotation. The error names the path and the place
        in the file.
    OSError
        If the file cannot be read.

    See Also
    --------
    save : Writes the file.
    Index.load : Reads the file with the ids.

    Examples
    --------
    >>> import tempfile, pathlib, blockquant as bq
    >>> q = bq.Eden(dim=384, bits=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "codes.safetensors")
    ...     bq.save(path, q, q.encode(bq.sample()[0]))
    ...     same, codes = bq.load(path, verify=False)
    >>> codes.packed.flags.writeable, len(codes)
    (False, 2000)
    """
    opened = open_codes(path, verify)
    return opened.quantizer, opened.codes


class Opened(NamedTuple):
    """What a file holds."""

    quantizer: Quantizer
    codes: Codes
    #: The bytes of the tensors by name, as views of the mapped file.
    tensors: dict[str, NDArray[np.uint8]]
    #: The number that follows the ids of all rows, if they have numbers as ids.
    next_id: int | None


def open_codes(path: _Path, verify: bool) -> Opened:
    """As :func:`load`, with what the file says of ids."""
    verify = flag(verify, "verify")
    where = os.fsdecode(path)
    if parquet.is_parquet(where):
        return Opened(*tables.load_codes(where, verify), {}, None)
    # The operating system does not map an empty file.
    data: NDArray[np.uint8] = np.zeros(0, np.uint8)
    if os.stat(where).st_size > 0:
        data = np.memmap(where, np.uint8, "r")
    try:
        core, rows, row_bytes, tensors, next_id = _core.open_file(data, verify)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    views = {name: np.asarray(data[start:stop]) for name, start, stop in tensors}

    def floats(name: str) -> NDArray[np.float32] | None:
        part = views.get(name)
        return None if part is None else np.asarray(part.view("<f4"), np.float32)

    scale = floats("scale")
    assert scale is not None  # Every file has scales.
    packed = views["packed"].reshape(rows, row_bytes)
    kind = FACES[core.method.partition("/")[0]]
    quantizer = kind.__new__(kind)
    quantizer._take(core)
    norm, residual_norm, center_product = map(floats, ("norm", "residual_norm", "center_product"))
    arrays = packed, scale, norm, residual_norm, center_product
    codes = Codes._of(arrays, quantizer.dim, repr(quantizer))
    return Opened(quantizer, codes, views, next_id)
