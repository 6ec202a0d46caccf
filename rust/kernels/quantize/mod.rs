//! The nearest of a few levels to each coordinate, and back.
//!
//! The index is the number of boundaries (midpoints of neighbouring levels) below the value: a value on a boundary goes to the lower level.
//!
//! **Vector body.** The count is a binary search, one step a bit, without a branch: j ← 2j + \[u > t_s(j)\], where t_s is the table of the
//! 2^s boundaries that step s can meet. Up to 4 bits every table is one register, so a step is a permutation, a comparison and two
//! additions for eight coordinates (16 instructions at 4 bits where counting takes 30); larger tables are gathered from the first-level cache.
//! Looking levels up is one permutation to 3 bits, two and a selection at 4. Bound by the ports for permutations.

mod scalar;
mod vector;

use super::{simd::LANES_32, vector_kernel};

/// Ascending levels with what searching them needs.
#[derive(Debug, Clone)]
pub struct Levels {
    /// 1 to 2¹⁶ of them.
    levels: Vec<f32>,
    /// Midpoints of neighbours.
    boundaries: Vec<f32>,
    /// t_s for s = 0, 1, …, each padded with +∞ to at least a register.
    steps: Vec<Vec<f32>>,
    /// The levels padded with 0 to a power of two, at least a register.
    table: Vec<f32>,
}

impl Levels {
    /// From ascending levels.
    ///
    /// # Panics
    /// If there are none, more than 2¹⁶, or they descend somewhere.
    pub fn new(levels: &[f32]) -> Self {
        assert!(
            (1..=1 << 16).contains(&levels.len()) && levels.is_sorted(),
            "1 to 65536 ascending levels"
        );
        let boundaries: Vec<f32> = levels
            .windows(2)
            .map(|pair| 0.5 * (pair[0] + pair[1]))
            .collect();
        let bits = levels.len().next_power_of_two().ilog2();
        let steps = (0..bits).map(|step| {
            let mut table: Vec<f32> = (0..1usize << step)
                .map(|j| ((2 * j + 1) << (bits - 1 - step)) - 1)
                .map(|place| boundaries.get(place).copied().unwrap_or(f32::INFINITY))
                .collect();
            table.resize(table.len().max(LANES_32), f32::INFINITY);
            table
        });
        let steps = steps.collect();
        let mut table = levels.to_vec();
        table.resize(levels.len().next_power_of_two().max(LANES_32), 0.0);
        Self {
            levels: levels.to_vec(),
            boundaries,
            steps,
            table,
        }
    }

    /// The levels, and zeros to a power of two, at least 8.
    pub(crate) fn table(&self) -> &[f32] {
        &self.table
    }

    /// The levels.
    pub fn levels(&self) -> &[f32] {
        &self.levels
    }
}

vector_kernel! {
    /// The index of the nearest level to each value.
    pub fn quantize(u: &[f32], levels: &Levels, index: &mut [u16])
}

vector_kernel! {
    /// The level of each index; of an index mod max(8, 2^b), b the bits that the levels need, with zeros where there is no level.
    pub fn dequantize(index: &[u16], levels: &Levels, c: &mut [f32])
}
