//! Scalar quantization: the nearest of a few levels to each coordinate, and back.
//!
//! A coordinate is stored as the index of its nearest level. Decoding looks the level up in a table
//! (LUT).
//!
//! **Mathematics.** For ascending levels ℓ₀ ≤ ℓ₁ ≤ … the boundaries are the midpoints of neighbors,
//! and the index of u is the number of boundaries below u. A value on a boundary goes to the lower
//! level.
//!
//! **The vector body.** The count is a binary search without a branch, one step per bit. Step s has
//! a table t_s of the 2^s boundaries that it can meet:
//!
//! ```text
//! quantize(u):                          8 coordinates per vector
//!     j ← 0
//!     for s in 0..bits:
//!         cut ← t_s[j]                  lookup8, lookup16 or gather
//!         j ← 2j + (u > cut)            a true mask is −1: 2j − mask
//!     return j
//! dequantize(k):
//!     return levels[k]                  lookup8, lookup16 or gather
//! ```
//!
//! **Cost.** Up to 4 bits each table fits one vector, so a step is a permutation, a comparison and
//! two additions for eight coordinates: 16 instructions per vector at 4 bits, where counting
//! boundaries takes 30. Larger tables are gathered from the first-level cache. Looking levels up is
//! one permutation up to 3 bits, and two with a selection at 4 bits. Bound by the execution ports
//! for permutations. AVX-512 looks up to sixteen levels up in one permutation, and searches one or
//! two bits by masks, without tables.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod vector;

use super::{simd::LANES_32, vector_kernel};

/// Ascending levels, with the tables for searching them.
#[derive(Debug, Clone)]
pub struct Levels {
    /// The levels, from 1 to 2¹⁶.
    levels: Vec<f32>,
    /// The midpoints of neighbors.
    boundaries: Vec<f32>,
    /// t_s for s = 0, 1, …, each padded with +∞ to at least eight entries.
    steps: Vec<Vec<f32>>,
    /// The levels, padded with zeros to a power of two, at least eight entries.
    table: Vec<f32>,
}

impl Levels {
    /// Prepares ascending levels.
    ///
    /// # Panics
    /// If there are none, if there are more than 2¹⁶, or if they are not ascending.
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
                .map(|boundary| boundaries.get(boundary).copied().unwrap_or(f32::INFINITY))
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

    /// The levels, padded with zeros to a power of two, at least eight entries.
    pub(crate) fn table(&self) -> &[f32] {
        &self.table
    }

    /// The levels.
    pub fn levels(&self) -> &[f32] {
        &self.levels
    }
}

vector_kernel! {
    /// index\[i\] ← the index of the level that is nearest to u\[i\].
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn quantize(u: &[f32], levels: &Levels, index: &mut [u16]); avx512
}

vector_kernel! {
    /// c\[i\] ← the level of index\[i\].
    ///
    /// With levels of b bits, indexes are taken modulo max(8, 2^b); an index without a level gives
    /// 0.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dequantize(index: &[u16], levels: &Levels, c: &mut [f32]); avx512
}
