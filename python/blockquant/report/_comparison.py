"""The public comparison: figures that print, draw and save themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from blockquant import measurement
from blockquant.measurement import Figures
from blockquant.report import _files, _notebook, _text


class Comparison(Figures):
    """The result of :func:`compare`: all figures, with the table, the report and the plots.

    See Also
    --------
    compare : Measures several methods and returns a comparison.
    measure : Measures one quantizer.
    """

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        return _notebook.notebook(self)

    def to_text(self) -> str:
        """The table for a terminal, at most 100 columns wide."""
        return _text.text(self)

    def to_markdown(self) -> str:
        """The table in Markdown."""
        return _text.markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything that was measured, in types that JSON can hold.

        Returns
        -------
        dict
            Keys: ``about`` (data, machine, versions), ``shape``, ``rows`` as :meth:`rows`,
            ``verdicts``, ``differences``, ``unmet`` (the methods left out, with the reasons),
            ``predicted`` (what the model of a sample predicts). With a sample, ``about`` has it.
            A figure that is missing is None.
        """
        return _files.to_dict(self)

    def save(self, folder: str | Path, replace: bool = True) -> list[Path]:
        """Writes the report into a folder, which is created if it does not exist.

        ``report.html`` is one self-contained page; ``results.csv`` and ``results.json`` have all
        figures. With matplotlib (extra ``plot``) the page has plots, which are also written as
        ``.svg`` and ``.png`` files; without it a warning says so. Each file appears whole or not at
        all: all files are written to the disk before the first one gets its name.

        Parameters
        ----------
        folder : str or Path
            The folder of the report.
        replace : bool
            Whether the files of an earlier report are replaced.

        Returns
        -------
        list of Path
            The files that were written.

        Raises
        ------
        FileExistsError
            If a file of an earlier report exists and `replace` is false.
        OSError
            If a file cannot be written. An earlier report then stays as it was.
        """
        written = _files.save(self, Path(folder), replace)
        if not _files.has_plots():
            warnings.warn(_files.NO_PLOTS, stacklevel=2)
        return written


def compare(
    x: Any = None,
    y: Any = None,
    methods: Sequence[str] | None = None,
    bits: Sequence[float] = (1, 2, 3, 4),
    seeds: int = 5,
    rotation: str = "hadamard",
    progress: Callable[[str], None] | None = None,
    *,
    bytes_per_vector: Sequence[int] | None = None,
    confidence: float = 0.99,
    source: str | None = None,
    sample: Any = None,
) -> Comparison:
    """Measures several methods on the same rows, queries and rotation seeds.

    Parameters
    ----------
    x, y : array_like, (n, d) and (m, d), optional
        Rows and queries as for :func:`measure`. The default is the shipped sample.
    methods : sequence of str, optional
        Names as for :func:`blockquant.create`. A name that is given twice is measured once. The
        default is all built-in methods with their usual scale rules. ``trellis+axes/recall`` is a
        method on axes fitted to `sample`; in place of ``recall``, the default, ``reconstruction``
        and ``inner_product`` say what its bits are given for. ``blockquant+axes`` and others are
        named likewise.
    bits : sequence of float
        Bits per coordinate. A method that does not support a rate is left out at this rate, and
        `unmet` of the result has the reason.
    seeds : int
        Number of rotation seeds: 0, 1, ….
    rotation : str
        ``hadamard`` or ``haar``, for the built-in methods.
    progress : callable, optional
        A function that is called with one line of text before each run.
    bytes_per_vector : sequence of int, optional
        Budgets in stored bytes per vector, used instead of `bits`. Every stored byte counts. Each
        method gets the most bits that fit, Trellis in steps of half a bit. BlockQuant gets the rate
        and block with the least error in theory, fractions included, among codebooks of 2 to 256
        codewords and the default ones. A method with no rate that fits is left out, as above.
    confidence : float
        The confidence of the intervals whose coverage is measured.
    source : str, optional
        A description of the rows, for the report.
    sample : array_like, (n, d), or float, optional
        Rows that axes are fitted to, scaled to unit norm, or the share of `x` that is drawn for
        this and not measured, such as 0.5. Given rows should not be among those measured: the
        result says how many are. With a sample, ``trellis+axes`` by its three criteria is measured
        besides if no methods are named. A fitted row takes at most ⌊d·bits/8⌋ + 8 bytes.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If `methods` or the rates are not a list.
    ValueError
        If a method is unknown, if `methods`, the rates or `seeds` are empty, if fitted methods lack
        a sample or a sample lacks them, or if every method is left out at every rate. The errors of
        :func:`measure` name the method.

    See Also
    --------
    measure : Measures one quantizer.
    available : The names of all methods.

    Examples
    --------
    >>> import blockquant as bq
    >>> c = bq.compare(methods=["eden/mse", "blockquant/mse"], bits=[2], seeds=2)
    >>> print(c.verdicts()[0].best)
    blockquant/mse
    >>> c = bq.compare(methods=["eden/mse", "turboquant/prod"], bytes_per_vector=[100], seeds=1)
    >>> [(row["method"], row["bits"], row["bytes_per_vector"]) for row in c.rows()]
    [('eden/mse', 2, 100.0), ('turboquant/prod', 1, 56.0)]
    >>> names = ["trellis", "trellis+axes"]
    >>> c = bq.compare(methods=names, bytes_per_vector=[56], seeds=1, sample=0.5)
    >>> [(row["method"], row["training_rows"], row["bytes_per_vector"]) for row in c.rows()]
    [('trellis/unbiased', None, 52.0), ('trellis+axes/recall', 1000, 56.0)]
    """
    figures = measurement.compare(
        x,
        y,
        methods,
        bits,
        seeds,
        rotation,
        progress,
        bytes_per_vector=bytes_per_vector,
        confidence=confidence,
        source=source,
        sample=sample,
    )
    return Comparison(**{field.name: getattr(figures, field.name) for field in fields(figures)})
