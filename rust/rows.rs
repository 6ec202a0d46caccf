//! The input of a batch: rows of any real type and layout, read one at a time into float32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::error::{Error, Result, counted};

/// Rows that can be read into float32, with no copy of the whole.
pub trait Rows: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Coordinates of a row.
    fn dim(&self) -> usize;
    /// Row `row` as float32, converted into `buffer` where it is not that already.
    fn read<'a>(&'a self, row: usize, buffer: &'a mut [f32]) -> &'a [f32];
    /// The value at a place as text, for errors.
    fn text(&self, row: usize, column: usize) -> String;
}

/// A real number type that rows can have.
pub trait Real: Copy + Send + Sync {
    /// The nearest float32 (infinite beyond its range).
    fn to_f32(self) -> f32;
    /// Neighbours in memory as float32, converted into `buffer` where they are not that already.
    fn read<'a>(values: &'a [Self], buffer: &'a mut [f32]) -> &'a [f32] {
        for (out, &value) in buffer.iter_mut().zip(values) {
            *out = value.to_f32();
        }
        buffer
    }
    /// As text.
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

/// The 16-bit types, which `half` converts with the CPU's instructions where it has them.
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

/// Rows one after the other in a slice.
#[derive(Debug, Clone, Copy)]
pub struct Dense<'a, T> {
    values: &'a [T],
    dim: usize,
}

impl<'a, T> Dense<'a, T> {
    /// `values` as rows of `dim`.
    pub fn new(values: &'a [T], dim: usize) -> Result<Self> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return Err(Error::invalid(format!(
                "{} cannot be split into rows of {dim}",
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

    fn text(&self, row: usize, column: usize) -> String {
        self.values[row * self.dim + column].text()
    }
}
