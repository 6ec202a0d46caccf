//! Codes in NumPy arrays, and the signs that searches derive from them.

use std::borrow::Cow;

use numpy::ndarray::Dimension;
use numpy::{
    Element, IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray, PyReadonlyArray1,
    PyReadonlyArray2,
};
use pyo3::prelude::*;

use crate::codes::CodesRef;

/// `blockquant._core.Signs`, which makes searches of a batch of codes with few queries fast.
#[pyclass(frozen, module = "blockquant._core")]
pub struct Signs(pub(super) crate::scan::signs::Signs);

#[pymethods]
impl Signs {
    #[getter]
    fn nbytes(&self) -> usize {
        self.0.bytes()
    }

    fn __len__(&self) -> usize {
        self.0.rows()
    }

    /// The signs of the rows whose byte in `kept` is not 0.
    fn kept(&self, kept: PyReadonlyArray1<'_, u8>) -> Self {
        let kept: Vec<bool> = kept.as_array().iter().map(|&byte| byte != 0).collect();
        Self(self.0.kept(&kept))
    }
}

/// The codes in NumPy arrays. An array that is not contiguous is copied.
pub(super) struct CodeSlices<'a> {
    row_bytes: usize,
    packed: Cow<'a, [u8]>,
    scale: Cow<'a, [f32]>,
    norm: Option<Cow<'a, [f32]>>,
    residual_norm: Option<Cow<'a, [f32]>>,
    center_product: Option<Cow<'a, [f32]>>,
}

/// The arrays of a batch of codes as Python passes them: packed, scale, norm, residual norm,
/// center product.
pub(super) type Parts<'py> = (
    PyReadonlyArray2<'py, u8>,
    PyReadonlyArray1<'py, f32>,
    Option<PyReadonlyArray1<'py, f32>>,
    Option<PyReadonlyArray1<'py, f32>>,
    Option<PyReadonlyArray1<'py, f32>>,
);

impl<'a> CodeSlices<'a> {
    pub(super) fn new(parts: &'a Parts<'_>) -> Self {
        let (packed, scale, norm, residual_norm, center_product) = parts;
        Self {
            row_bytes: packed.as_array().ncols(),
            packed: contiguous(packed),
            scale: contiguous(scale),
            norm: norm.as_ref().map(contiguous),
            residual_norm: residual_norm.as_ref().map(contiguous),
            center_product: center_product.as_ref().map(contiguous),
        }
    }

    pub(super) fn view(&self) -> CodesRef<'_> {
        CodesRef {
            row_bytes: self.row_bytes,
            packed: &self.packed,
            scale: &self.scale,
            norm: self.norm.as_deref(),
            residual_norm: self.residual_norm.as_deref(),
            center_product: self.center_product.as_deref(),
        }
    }
}

pub(super) fn contiguous<'a, T: Element + Copy, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> Cow<'a, [T]> {
    match array.as_slice() {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(array.as_array().iter().copied().collect()),
    }
}

/// A codebook, one codeword per row.
pub(super) fn book<'py>(
    py: Python<'py>,
    (words, width): (Vec<f32>, usize),
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let count = words.len() / width;
    words.into_pyarray(py).reshape([count, width])
}
