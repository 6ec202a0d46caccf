//! The input of a batch: rows of any real number type and layout. The library reads one row at a
//! time into float32, so it never copies a whole batch.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::error::{Error, Result, counted};
use crate::kernels::prefetch_all;

/// Rows that can be read into float32 one at a time.
pub trait Rows: Sync {
    /// The number of rows.
    fn rows(&self) -> usize;
    /// The number of coordinates per row.
    fn dim(&self) -> usize;
    /// Row `row` as float32. A row of another type is converted into `buffer`, which has
    /// [`dim`](Self::dim) values.
    fn read<'a>(&'a self, row: usize, buffer: &'a mut [f32]) -> &'a [f32];
    /// Fetches coordinates of row `row`, which is read soon, into the cache; may do nothing.
    fn prefetch(&self, row: usize, columns: Range<usize>) {
        let _ = (row, columns);
    }
    /// One value as text, for error messages.
    fn text(&self, row: usize, column: usize) -> String;
}

/// A real number type of rows.
pub trait Real: Copy + Send + Sync {
    /// The nearest float32, which is infinite beyond the range of float32.
    fn to_f32(self) -> f32;
    /// Contiguous values as float32. Values of another type are converted into `buffer`, which has
    /// as many places.
    fn read<'a>(values: &'a [Self], buffer: &'a mut [f32]) -> &'a [f32] {
        for (out, &value) in buffer.iter_mut().zip(values) {
            *out = value.to_f32();
        }
        buffer
    }
    /// The value as text, for error messages.
    fn text(self) -> String;
}

impl Real for f32 {
    fn to_f32(self) -> f32 {
        self
    }
    fn read<'a>(values: &'a [f32], _buffer: &'a mut [f32]) -> &'a [f32] {
        values
    }
    fn text(self) -> String {
        self.to_string()
    }
}

impl Real for f64 {
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn text(self) -> String {
        if self.is_finite() {
            format!("{self:e}")
        } else {
            self.to_string()
        }
    }
}

/// The 16-bit types. The crate `half` converts them with the instructions of the CPU where it can.
macro_rules! half {
    ($type:ty) => {
        impl Real for $type {
            fn to_f32(self) -> f32 {
                self.to_f32()
            }
            fn read<'a>(values: &'a [Self], buffer: &'a mut [f32]) -> &'a [f32] {
                values.convert_to_f32_slice(buffer);
                buffer
            }
            fn text(self) -> String {
                self.to_string()
            }
        }
    };
}

half!(f16);
half!(bf16);

/// Rows that lie one after the other in a slice.
#[derive(Debug, Clone, Copy)]
pub struct Dense<'a, T> {
    values: &'a [T],
    dim: usize,
}

impl<'a, T> Dense<'a, T> {
    /// `values` as rows of `dim` coordinates.
    ///
    /// # Errors
    /// If `dim` is 0 or the number of values is not a multiple of it.
    pub fn new(values: &'a [T], dim: usize) -> Result<Self> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return Err(Error::invalid(format!(
                "{} cannot be split into rows of dim={dim}",
                counted(values.len(), "value")
            )));
        }
        Ok(Self { values, dim })
    }
}

impl<T: Real> Rows for Dense<'_, T> {
    fn rows(&self) -> usize {
        self.values.len() / self.dim
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn read<'a>(&'a self, row: usize, buffer: &'a mut [f32]) -> &'a [f32] {
        T::read(&self.values[row * self.dim..][..self.dim], buffer)
    }

    fn prefetch(&self, row: usize, columns: Range<usize>) {
        prefetch_all(&self.values[row * self.dim..][..self.dim][columns]);
    }

    fn text(&self, row: usize, column: usize) -> String {
        self.values[row * self.dim + column].text()
    }
}
