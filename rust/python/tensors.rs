//! Keys, values and masks in NumPy arrays of four axes.

use half::f16;
use half::slice::HalfBitsSliceExt;
use numpy::ndarray::{ArrayView4, Axis, s};
use numpy::{Element, PyReadonlyArray4};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::cache::{Dtype, Mask, Tensor, Values};

/// An array of four axes whose last one is contiguous.
struct Array4<'a, T> {
    view: ArrayView4<'a, T>,
    dtype: Dtype,
    values: for<'b> fn(&'b [T]) -> Values<'b>,
}

impl<T: Sync> Tensor for Array4<'_, T> {
    fn shape(&self) -> [usize; 4] {
        self.view.dim().into()
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn row(&self, sequence: usize, head: usize, token: usize) -> Values<'_> {
        let heads = self.view.view().index_axis_move(Axis(0), sequence);
        let tokens = heads.index_axis_move(Axis(0), head);
        let row = tokens.index_axis_move(Axis(0), token);
        (self.values)(row.to_slice().unwrap_or_default())
    }
}

/// Runs `work` on an array of any of the types that a cache takes.
pub(super) fn with_tensor<R>(
    x: &Bound<'_, PyAny>,
    is_bfloat16: bool,
    work: impl FnOnce(&dyn Tensor) -> PyResult<R>,
) -> PyResult<R> {
    fn tensor<'a, T: Element>(
        array: &'a PyReadonlyArray4<'_, T>,
        dtype: Dtype,
        values: for<'b> fn(&'b [T]) -> Values<'b>,
    ) -> PyResult<Array4<'a, T>> {
        let view = array.as_array();
        if !view.is_empty() && view.len_of(Axis(3)) > 1 && view.stride_of(Axis(3)) != 1 {
            return Err(PyValueError::new_err("rows are not contiguous"));
        }
        let tensor = Array4 {
            view,
            dtype,
            values,
        };
        Ok(tensor)
    }
    if is_bfloat16 {
        let array: PyReadonlyArray4<'_, u16> = x.extract().map_err(|_| wrong_array(x))?;
        return work(&tensor(&array, Dtype::Bfloat16, bfloat16)?);
    }
    if let Ok(array) = x.extract::<PyReadonlyArray4<'_, f32>>() {
        return work(&tensor(&array, Dtype::Float32, float32)?);
    }
    let array: PyReadonlyArray4<'_, f16> = x.extract().map_err(|_| wrong_array(x))?;
    work(&tensor(&array, Dtype::Float16, float16)?)
}

fn float32(values: &[f32]) -> Values<'_> {
    Values::Float32(values)
}

fn float16(values: &[f16]) -> Values<'_> {
    Values::Float16(values)
}

fn bfloat16(bits: &[u16]) -> Values<'_> {
    Values::Bfloat16(bits.reinterpret_cast())
}

fn wrong_array(x: &Bound<'_, PyAny>) -> PyErr {
    let kind = x.get_type();
    let kind = kind.name().map_or("object".into(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "{kind} is not a four-dimensional float16, float32 or bfloat16 array"
    ))
}

/// A mask as NumPy broadcasts it.
pub(super) enum MaskArray<'a> {
    /// Bytes that are not 0 where a token may be attended. A boolean array of NumPy can hold values
    /// other than 0 and 1, and a Rust `bool` must not.
    Allowed(ArrayView4<'a, u8>),
    /// What is added to the logits.
    Added(ArrayView4<'a, f32>),
}

impl Mask for MaskArray<'_> {
    fn read(&self, sequence: usize, head: usize, query: usize, from: usize, out: &mut [f32]) {
        match self {
            Self::Allowed(view) => {
                let row = view.slice(s![sequence, head, query, from..]);
                for (out, &allowed) in out.iter_mut().zip(row) {
                    *out = if allowed == 0 { f32::NEG_INFINITY } else { 0.0 };
                }
            }
            Self::Added(view) => {
                let row = view.slice(s![sequence, head, query, from..]);
                for (out, &added) in out.iter_mut().zip(row) {
                    *out = added;
                }
            }
        }
    }
}

impl MaskArray<'_> {
    pub(super) fn shape(&self) -> (usize, usize, usize, usize) {
        match self {
            Self::Allowed(view) => view.dim(),
            Self::Added(view) => view.dim(),
        }
    }
}
