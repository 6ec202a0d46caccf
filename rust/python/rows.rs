//! Rows of NumPy arrays.

use std::ops::Range;

use half::bf16;
use half::slice::HalfBitsSliceExt;
use numpy::ndarray::{ArrayView2, Axis};

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
