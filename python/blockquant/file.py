"""A quantizer and its codes in one file."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._checks import flag
from blockquant.codes import Codes
from blockquant.methods import FACES
from blockquant.quantizer import Quantizer

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def save(path: _Path, quantizer: Quantizer, codes: Codes) -> None:
    """Writes a quantizer and its codes to one self-describing file.

    It is a safetensors file: tensors ``packed``, ``scale`` and, where there are any, ``norm``,
    ``residual_norm``, ``center_product`` and ``center``, with the parameters and checksums in its
    metadata (``rust/file/mod.rs`` has the format). The same codes give the same bytes. It is
    written at once or not at all: on any failure a file of that name stays as it was.

    Parameters
    ----------
    path : path-like
        The file; one that exists is replaced, also while :func:`load` has it mapped (on Windows
        that is an error).
    quantizer : Quantizer
        What made the codes.
    codes : Codes
        Also codes that are mapped from a file.

    Raises
    ------
    TypeError
        If the quantizer is not one of this package, or the codes are no Codes.
    ValueError
        If the codes come from another quantizer, or a scale or norm is not finite.
    OSError
        If the file cannot be written.

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


def load(path: _Path, verify: bool = True) -> tuple[Quantizer, Codes]:
    """Reads what :func:`save` wrote; the codes stay in the file, which is mapped.

    Any byte that :func:`save` would not have written is an error. Header and sizes are always
    checked: what is not verified can hold wrong numbers only, never a wrong shape or quantizer.

    Parameters
    ----------
    path : path-like
        The file. It must not be changed in place or shortened while the codes are in use; to
        replace it, as :func:`save` does, is safe.
    verify : bool
        Whether every tensor is compared with its checksum, which reads the whole file once, at
        some 4 GB/s where it is in memory; and whether scales and norms are finite.

    Returns
    -------
    quantizer : Quantizer
        Built from the header.
    codes : Codes
        Read-only views of the mapped file (on big-endian machines scales and norms are copies).

    Raises
    ------
    TypeError
        If verify is no bool.
    ValueError
        If the file is damaged, is none of this package, has another version, or was written by a
        build with another codebook or rotation; the path and the place in the file are named.
    OSError
        If the file cannot be read.

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
    verify = flag(verify, "verify")
    where = os.fsdecode(path)
    # No map can be empty.
    data: NDArray[np.uint8] = np.zeros(0, np.uint8)
    if os.stat(where).st_size > 0:
        data = np.memmap(where, np.uint8, "r")
    try:
        core, rows, row_bytes, tensors = _core.open_file(data, verify)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    views = {name: data[start:stop] for name, start, stop in tensors}

    def floats(name: str) -> NDArray[np.float32] | None:
        part = views.get(name)
        return None if part is None else np.asarray(part.view("<f4"), np.float32)

    scale = floats("scale")
    assert scale is not None  # the core gives every file's
    packed = np.asarray(views["packed"]).reshape(rows, row_bytes)
    kind = FACES[core.method.partition("/")[0]]
    quantizer = kind.__new__(kind)
    quantizer._take(core)
    norm, residual_norm, center_product = map(floats, ("norm", "residual_norm", "center_product"))
    arrays = packed, scale, norm, residual_norm, center_product
    codes = Codes._of(arrays, quantizer.dim, repr(quantizer))
    return quantizer, codes
