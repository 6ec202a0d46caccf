//! A query as integers.

use super::CodeTables;
use super::shape::{Order, Shape};
use crate::Isa;
use crate::aligned::{Aligned, CACHE_LINE_BYTES};
use crate::kernels::trellis::decode::blocks::{BLOCK, GROUP};
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
    /// ŷ in another order. Where rows are looked up byte by byte, that of the bytes of a row:
    /// \[64 bytes\]\[coordinate of a byte\]\[byte\]. Where they are paths, that of a block:
    /// \[block\]\[coordinate of a group\]\[odd groups\]\[pair of groups\].
    pub(super) planes: Aligned<i8>,
    dim: usize,
    order: Order,
}

impl IntQuery {
    /// d, the number of coordinates.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether this is a query of such tables.
    pub(super) fn fits(&self, tables: &CodeTables) -> bool {
        self.dim == tables.dim() && self.order == tables.shape.order()
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
    match &tables.shape {
        Shape::Bytes(bytes) => {
            let blocks = bytes.count.div_ceil(CACHE_LINE_BYTES);
            planes = Aligned::new(blocks * CACHE_LINE_BYTES * bytes.coordinates);
            let values = &values[..bytes.count * bytes.coordinates];
            arrange(isa, bytes.coordinates, values, &mut planes);
        }
        Shape::Path(_) => {
            planes = Aligned::new(dim.next_multiple_of(BLOCK));
            for (i, &value) in values[..dim].iter().enumerate() {
                let (group, coordinate) = (i % BLOCK / GROUP, i % GROUP);
                let groups = BLOCK / GROUP;
                let place = coordinate * groups + group % 2 * (groups / 2) + group / 2;
                planes[i / BLOCK * BLOCK + place] = value;
            }
        }
        Shape::Levels(_) | Shape::Words => {}
    }
    IntQuery {
        unit,
        error: squared_error.sqrt(),
        sum,
        values,
        planes,
        dim,
        order: tables.shape.order(),
    }
}

kernel! {
    /// Rounds y to bytes: returns the unit, the squared error and the sum of the bytes.
    pub fn round(y: &[f32], values: &mut [i8]) -> (f32, f32, i32)
}

kernel! {
    /// Puts the values of bytes with `per_byte` coordinates in the order of [`IntQuery::planes`].
    pub fn arrange(per_byte: usize, values: &[i8], planes: &mut [i8])
}

mod scalar {
    use super::{CACHE_LINE_BYTES, SUM_LANES};

    /// 1.5·2²³. Numbers between 2²³ and 2²⁴ are whole, so that adding it rounds to a whole number,
    /// ties to even, whose low bits are the lowest bits of the float32.
    const ROUNDER: f32 = 12_582_912.0;

    #[inline(always)]
    pub fn round(y: &[f32], values: &mut [i8]) -> (f32, f32, i32) {
        let (whole, rest) = y.as_chunks::<SUM_LANES>();
        let (whole_values, rest_values) = values.as_chunks_mut::<SUM_LANES>();
        let mut last = [0f32; SUM_LANES];
        last[..rest.len()].copy_from_slice(rest);

        let mut lanes = last.map(f32::abs);
        for y in whole {
            for (widest, y) in lanes.iter_mut().zip(y) {
                *widest = if y.abs() > *widest { y.abs() } else { *widest };
            }
        }
        let widest = lanes.into_iter().fold(0f32, f32::max);
        let mut unit = widest / 127.0;
        let mut steps = unit.recip();
        if !(unit.is_normal() && steps.is_normal()) {
            (unit, steps) = (1.0, 0.0);
        }

        let mut sums = [0i32; SUM_LANES];
        let mut errors = [0f32; SUM_LANES];
        let mut add = |y: &[f32; SUM_LANES], values: &mut [i8; SUM_LANES]| {
            for lane in 0..SUM_LANES {
                let shifted = y[lane] * steps + ROUNDER;
                values[lane] = shifted.to_bits() as i8;
                sums[lane] += i32::from(values[lane]);
                let off = (-unit).mul_add(shifted - ROUNDER, y[lane]);
                errors[lane] = off.mul_add(off, errors[lane]);
            }
        };
        for (y, values) in whole.iter().zip(whole_values) {
            add(y, values);
        }
        // The zeros after the last value are exact.
        let mut last_values = [0; SUM_LANES];
        add(&last, &mut last_values);
        rest_values.copy_from_slice(&last_values[..rest.len()]);
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                errors[lane] += errors[lane + width];
            }
        }
        (unit, errors[0], sums.iter().sum())
    }

    #[inline(always)]
    pub fn arrange(per_byte: usize, values: &[i8], planes: &mut [i8]) {
        match per_byte {
            1 => planes[..values.len()].copy_from_slice(values),
            2 => arrange_by::<2>(values, planes),
            4 => arrange_by::<4>(values, planes),
            _ => arrange_by::<8>(values, planes),
        }
    }

    #[inline(always)]
    fn arrange_by<const C: usize>(values: &[i8], planes: &mut [i8]) {
        let (of_bytes, _) = values.as_chunks::<C>();
        let blocks = of_bytes.chunks(CACHE_LINE_BYTES);
        for (of_bytes, planes) in blocks.zip(planes.chunks_exact_mut(CACHE_LINE_BYTES * C)) {
            for (j, plane) in planes.chunks_exact_mut(CACHE_LINE_BYTES).enumerate() {
                for (value, of_byte) in plane.iter_mut().zip(of_bytes) {
                    *value = of_byte[j];
                }
            }
        }
    }
}
