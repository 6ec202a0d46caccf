//! The input of a batch: rows of any real type and layout, read one at a time into float32.

use half::{bf16, f16};

use crate::error::{Error, Result};

/// Rows that can be read into float32, with no copy of the whole.
pub trait Rows: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Coordinates of a row.
    fn dim(&self) -> usize;
    /// Converts row `row` into `out`.
    fn read(&self, row: usize, out: &mut [f32]);
    /// The value at a place as text, for errors.
    fn text(&self, row: usize, column: usize) -> String;
}

/// A real number type that rows can have.
pub trait Real: Copy + Send + Sync {
    /// The nearest float32 (infinite beyond its range).
    fn to_f32(self) -> f32;
    /// As text.
    fn text(self) -> String;
}

macro_rules! real {
    ($($type:ty: $convert:expr),* $(,)?) => {
        $(impl Real for $type {
            fn to_f32(self) -> f32 {
                $convert(self)
            }
            fn text(self) -> String {
                self.to_string()
            }
        })*
    };
}

real! {
    f32: |x| x,
    f64: |x| x as f32,
    f16: f16::to_f32,
    bf16: bf16::to_f32,
}

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
                "{} values are no rows of {dim}",
                values.len()
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

    fn read(&self, row: usize, out: &mut [f32]) {
        let from = &self.values[row * self.dim..][..self.dim];
        for (value, x) in out.iter_mut().zip(from) {
            *value = x.to_f32();
        }
    }

    fn text(&self, row: usize, column: usize) -> String {
        self.values[row * self.dim + column].text()
    }
}
