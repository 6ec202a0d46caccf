//! Rows of NumPy arrays.

use std::ops::Range;

use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};
use numpy::PyReadonlyArray2;
use numpy::ndarray::{ArrayView2, Axis};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::codes::Layout;
use crate::kernels::prefetch_all;
use crate::rows::{Real, Rows};
use crate::{Isa, threads};

/// Rows of a NumPy array with any strides.
pub struct Strided<'a, T>(pub ArrayView2<'a, T>);

impl<T: Real> Rows for Strided<'_, T> {
    fn rows(&self) -> usize {
        self.0.nrows()
    }

    fn dim(&self) -> usize {
        self.0.ncols()
    }

    fn read<'a>(&'a self, row: usize, buffer: &'a mut [f32]) -> &'a [f32] {
        let from = self.0.index_axis(Axis(0), row);
        match from.to_slice() {
            Some(values) => T::read(values, buffer),
            None => {
                for (out, x) in buffer.iter_mut().zip(from) {
                    *out = x.to_f32();
                }
                buffer
            }
        }
    }

    fn prefetch(&self, row: usize, columns: Range<usize>) {
        if let Some(values) = self.0.index_axis(Axis(0), row).to_slice() {
            prefetch_all(&values[columns]);
        }
    }

    fn text(&self, row: usize, column: usize) -> String {
        self.0[(row, column)].text()
    }
}

/// NumPy has no bfloat16, so its bits come as uint16. Other uint16 values never come this way.
impl Real for u16 {
    fn to_f32(self) -> f32 {
        bf16::from_bits(self).to_f32()
    }

    fn read<'a>(values: &'a [u16], buffer: &'a mut [f32]) -> &'a [f32] {
        let values: &[bf16] = values.reinterpret_cast();
        bf16::read(values, buffer)
    }

    fn text(self) -> String {
        bf16::from_bits(self).to_string()
    }
}

/// Runs `work` on an array of any of the types of rows.
pub fn with_rows<R>(
    x: &Bound<'_, PyAny>,
    is_bfloat16: bool,
    work: impl FnOnce(&dyn Rows) -> PyResult<R>,
) -> PyResult<R> {
    if is_bfloat16 {
        let array: PyReadonlyArray2<'_, u16> = x.extract().map_err(|_| wrong_array(x))?;
        return work(&Strided(array.as_array()));
    }
    if let Ok(array) = x.extract::<PyReadonlyArray2<'_, f32>>() {
        return work(&Strided(array.as_array()));
    }
    if let Ok(array) = x.extract::<PyReadonlyArray2<'_, f16>>() {
        return work(&Strided(array.as_array()));
    }
    let array: PyReadonlyArray2<'_, f64> = x.extract().map_err(|_| wrong_array(x))?;
    work(&Strided(array.as_array()))
}

fn wrong_array(x: &Bound<'_, PyAny>) -> PyErr {
    let kind = x
        .get_type()
        .name()
        .map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "{kind} is not a two-dimensional float16, float32 or float64 array"
    ))
}

/// The indexes of packed rows, row by row.
pub fn unpack_rows(isa: Isa, layout: &Layout, packed: ArrayView2<'_, u8>) -> Vec<u16> {
    let mut out = vec![0u16; packed.nrows() * layout.indices()];
    let indices = out.chunks_mut(layout.indices().max(1));
    for (row, index) in packed.rows().into_iter().zip(indices) {
        threads::check();
        layout.unpack(isa, &row.to_vec(), index);
    }
    out
}
