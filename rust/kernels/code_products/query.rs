//! A query as integers.

use super::CodeTables;
use super::shape::Shape;
use crate::Isa;
use crate::aligned::{Aligned, CACHE_LINE_BYTES};
use crate::kernels::{SUM_LANES, kernel};

/// A query as signed bytes ŷ.
#[derive(Debug, Clone)]
pub struct IntQuery {
    /// The value of one unit of ŷ.
    pub unit: f32,
    /// ‖y − unit·ŷ‖.
    pub error: f32,
    /// Σ ŷ.
    pub sum: i32,
    /// ŷ, with zeros to the end of a cache line.
    pub(super) values: Aligned<i8>,
    /// ŷ in the order of the bytes of a row, where rows are looked up byte by byte:
    /// \[64 bytes\]\[coordinate of a byte\]\[byte\].
    pub(super) planes: Aligned<i8>,
    dim: usize,
    /// Coordinates per byte in `planes`.
    per_byte: usize,
}

impl IntQuery {
    /// d, the number of coordinates.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether this is a query of such tables.
    pub(super) fn fits(&self, tables: &CodeTables) -> bool {
        self.dim == tables.dim() && self.per_byte == tables.shape.per_byte()
    }
}

/// The query y as integers: unit = max|y|/127 and ŷ = round(y/unit).
///
/// Where max|y| is 0, or so small or so large that float32 has no number for the unit or its
/// reciprocal, all ŷ are 0 and unit is 1.
///
/// # Panics
/// If y does not have the dimension of the tables.
pub fn query(isa: Isa, tables: &CodeTables, y: &[f32]) -> IntQuery {
    let dim = tables.dim();
    assert_eq!(y.len(), dim, "the dimension of the query");
    let mut values = Aligned::new(dim.next_multiple_of(CACHE_LINE_BYTES));
    let (unit, squared_error, sum) = round(isa, y, &mut values[..dim]);
    let mut planes = Aligned::new(0);
    let per_byte = tables.shape.per_byte();
    if let Shape::Bytes(bytes) = &tables.shape {
        planes = Aligned::new(bytes.count.next_multiple_of(CACHE_LINE_BYTES) * per_byte);
        let of_bytes = values.chunks_exact(per_byte).take(bytes.count);
        for (byte, coordinates) in of_bytes.enumerate() {
            let (block, place) = (byte / CACHE_LINE_BYTES, byte % CACHE_LINE_BYTES);
            for (j, &value) in coordinates.iter().enumerate() {
                planes[(block * per_byte + j) * CACHE_LINE_BYTES + place] = value;
            }
        }
    }
    IntQuery {
        unit,
        error: squared_error.sqrt(),
        sum,
        values,
        planes,
        dim,
        per_byte,
    }
}

kernel! {
    /// Rounds y to bytes: returns the unit, the squared error and the sum of the bytes.
    pub fn round(y: &[f32], values: &mut [i8]) -> (f32, f32, i32)
}

mod scalar {
    use super::SUM_LANES;

    #[inline(always)]
    pub fn round(y: &[f32], values: &mut [i8]) -> (f32, f32, i32) {
        let mut widest = [0f32; SUM_LANES];
        let (whole, rest) = y.as_chunks::<SUM_LANES>();
        for y in whole {
            for (widest, y) in widest.iter_mut().zip(y) {
                *widest = widest.max(y.abs());
            }
        }
        let widest = widest.iter().chain(rest).fold(0f32, |a, b| a.max(b.abs()));
        let mut unit = widest / 127.0;
        let mut steps = unit.recip();
        if !(unit.is_normal() && steps.is_normal()) {
            (unit, steps) = (1.0, 0.0);
        }
        let mut sum = 0;
        let mut errors = [0f32; SUM_LANES];
        let chunks = y.chunks(SUM_LANES).zip(values.chunks_mut(SUM_LANES));
        for (y, values) in chunks {
            for ((error, &y), value) in errors.iter_mut().zip(y).zip(values) {
                let rounded = (y * steps).round_ties_even();
                *value = rounded as i8;
                sum += i32::from(*value);
                let off = (-unit).mul_add(rounded, y);
                *error = off.mul_add(off, *error);
            }
        }
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                errors[lane] += errors[lane + width];
            }
        }
        (unit, errors[0], sum)
    }
}
