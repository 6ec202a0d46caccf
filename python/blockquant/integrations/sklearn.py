"""A transformer for scikit-learn that quantizes rows.

Needs the extra ``blockquant[sklearn]``. The page "In other frameworks" of the documentation shows
its use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:  # pragma: no cover - needs an environment without it
    raise ImportError(
        'blockquant.integrations.sklearn needs scikit-learn: pip install "blockquant[sklearn]"'
    ) from error

from blockquant._checks import brief, counted, flag
from blockquant.quantizer import Quantizer
from blockquant.registry import create

__all__ = ["BlockQuantTransformer"]

_OUTPUTS = ("rows", "codes")
#: Seeds that a random state is asked for.
_SEEDS = 2**31 - 1


class BlockQuantTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Replaces rows by what their codes hold, or by the codes.

    With ``output="rows"``, the default, `transform` encodes rows and decodes them at once. In front
    of a linear model, a classifier or a search for neighbors it shows what a model loses if rows
    are stored in codes. With ``output="codes"`` it gives the codes, one row of bytes each, which
    are for storage: their values are not features, and `inverse_transform` makes rows of them.

    Parameters
    ----------
    bits : float
        Bits per coordinate.
    method : str
        The method, as `blockquant.create` takes it. The default has the least squared error.
    output : {"rows", "codes"}
        What `transform` gives.
    center : bool
        Whether the mean of the rows of `fit` is taken from rows before they are quantized.
    random_state : int, RandomState instance or None
        The seed of the rotation. An integer gives the same codes in every process.
    options : dict, optional
        Other options of `blockquant.create`.

    Attributes
    ----------
    quantizer_ : Quantizer
        What encodes and decodes.
    n_features_in_ : int
        Features of the rows of `fit`.
    feature_names_in_ : ndarray of str, (n_features_in_,)
        Their names, if all of them are strings.

    Notes
    -----
    Nothing is trained: `fit` reads the number of features and, with `center`, the mean. Rows are
    float32 after `transform`, also where they were float64 before.

    Examples
    --------
    >>> import blockquant as bq
    >>> x, _ = bq.sample()
    >>> rows = BlockQuantTransformer(bits=4).fit_transform(x)
    >>> rows.shape, bool(((rows - x) ** 2).sum() < 0.01 * (x.astype(float) ** 2).sum())
    ((2000, 384), True)
    >>> store = BlockQuantTransformer(bits=4, output="codes").fit(x)
    >>> codes = store.transform(x)
    >>> codes.shape, codes.dtype, bool((store.inverse_transform(codes) == rows).all())
    ((2000, 196), dtype('uint8'), True)
    """

    def __init__(
        self,
        bits: float = 4,
        *,
        method: str = "blockquant/mse",
        output: str = "rows",
        center: bool = False,
        random_state: Any = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.bits = bits
        self.method = method
        self.output = output
        self.center = center
        self.random_state = random_state
        self.options = options

    def fit(self, X: Any, y: Any = None) -> BlockQuantTransformer:
        """Reads the number of features, and the mean if it is wanted.

        Parameters
        ----------
        X : array_like, (n_samples, n_features)
            Rows.
        y : None
            Ignored.

        Returns
        -------
        BlockQuantTransformer
            Itself.

        Raises
        ------
        TypeError, ValueError
            If a parameter has the wrong type or is out of range, or rows are not finite numbers.
        """
        if self.output not in _OUTPUTS:
            raise ValueError(f"output={brief(self.output)}, expected 'rows' or 'codes'")
        rows = self._rows(X, reset=True)
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(_SEEDS)
        options: dict[str, Any] = {"seed": int(seed), **(self.options or {})}
        if flag(self.center, "center"):
            options["center"] = rows.mean(axis=0, dtype=np.float64)
        self.quantizer_ = create(self.method, dim=rows.shape[1], bits=self.bits, **options)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Encodes rows, and decodes them unless codes are wanted.

        Parameters
        ----------
        X : array_like, (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of float32, (n_samples, n_features)
            The rows that the codes hold; or ndarray of uint8, (n_samples, bytes), each row the
            bytes of `blockquant.Codes.to_bytes`.

        Raises
        ------
        ValueError
            If rows are not finite numbers, or have another number of features.
        """
        check_is_fitted(self)
        quantizer: Quantizer = self.quantizer_
        codes = quantizer.encode(self._rows(X, reset=False))
        if self.output == "rows":
            return quantizer.decode(codes)
        return np.frombuffer(codes.to_bytes(), np.uint8).reshape(len(codes), -1).copy()

    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """Makes rows of what `transform` gave.

        Parameters
        ----------
        X : array_like, (n_samples, n_features) or of uint8, (n_samples, bytes)
            Rows, which are returned as float32, or codes.

        Returns
        -------
        ndarray of float32, (n_samples, n_features)
            The rows that the codes hold.

        Raises
        ------
        TypeError
            If codes are not uint8.
        ValueError
            If the number of features or bytes is another.
        """
        check_is_fitted(self)
        if self.output == "rows":
            rows: NDArray[np.float32] = self._rows(X, reset=False).astype(np.float32, copy=False)
            return rows
        codes = np.asarray(X)
        if codes.dtype != np.uint8:
            raise TypeError(f"X has dtype {codes.dtype}, expected uint8 as transform gives it")
        each = self._bytes()
        if codes.ndim != 2 or codes.shape[1] != each:
            raise ValueError(
                f"X has shape {codes.shape}, expected rows of {counted(each, 'byte')} as transform "
                "gives them"
            )
        quantizer: Quantizer = self.quantizer_
        return quantizer.decode(quantizer.codes_from(codes.tobytes(), len(codes)))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The names of features: those of the input for rows, ``code0`` and so on for codes.

        Parameters
        ----------
        input_features : array_like of str, optional
            The names of the input, if `fit` has seen none.

        Returns
        -------
        ndarray of str
        """
        names: NDArray[np.object_] = super().get_feature_names_out(input_features)
        if self.output == "rows":
            return names
        return np.array([f"code{place}" for place in range(self._bytes())], object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"] if self.output == "rows" else []
        return tags

    def _rows(self, X: Any, *, reset: bool) -> NDArray[Any]:
        rows: NDArray[Any] = validate_data(self, X, reset=reset, dtype=[np.float32, np.float64])
        return rows

    def _bytes(self) -> int:
        """Bytes per code."""
        empty = np.zeros((1, self.n_features_in_), np.float32)
        return len(self.quantizer_.encode(empty).to_bytes())
