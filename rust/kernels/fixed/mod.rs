//! Products of unit rows with unit vectors in fixed point: 16-bit factors and exact 32-bit sums.
//!
//! A row that is encoded along fitted axes is multiplied with every axis that has bits. Codes keep
//! three digits of such a product at most, so that 16 bits per factor suffice, and twice as many
//! of them as of float32 fit a vector.
//!
//! **Mathematics.** A unit vector v becomes the whole numbers v̄ = round(32767·v), ties to even.
//! The product of row and axis is ⟨x̄, ā⟩/32767². Rounding gives an entry an error of variance 1/12
//! at most, so that a product of unit vectors is off by √(2/12)/32767 = 1.25·10⁻⁵ in the mean
//! square ([`DEVIATION`]). All products of a row with n axes have a squared error of
//! n·1.6·10⁻¹⁰ together: 2.4·10⁻⁷ for n = 1536, where codes of 4 bits leave some 10⁻³ and those of
//! 8 bits some 10⁻⁵.
//!
//! **Contract.** Sums are exact: by Cauchy and Schwarz, no sum of some of the products of two
//! vectors exceeds (32767 + √d/2)², which is below 2³¹ for d up to 2¹³. So any order of the
//! products gives the same bits. A sum is rounded to float32, and again by the factor 1/32767².
//!
//! ```text
//! products(panels of 16 axes, rows x̄):
//!     for two panels, and 8 rows:
//!         sums[8 rows][2 × 16 axes] ← 0
//!         for each pair of coordinates (k, k + 1):
//!             for each row: sums ← sums + panel[k]·splat(x̄[k]) + panel[k + 1]·splat(x̄[k + 1])
//!         out ← sums/32767²
//! ```
//!
//! A panel has the coordinates of its axes pair by pair, so that a lane of a sum belongs to an axis
//! and no sum is taken across a vector.
//!
//! **Cost.** One instruction for 32 products on AVX-512 (VNNI), two for 16 on AVX2 and four for 16
//! on NEON, besides one load per row and pair and one per panel and pair: bound by the
//! multiplications, of which two are done per cycle. The panels are read from the second- or
//! third-level cache: at d = 1536 two of them are 96 KiB, for 8·32·1536/64 = 6144 cycles.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod vector;

use super::vector_kernel;
use crate::aligned::Aligned;
use crate::kernels::convert;

/// Axes of a panel.
const AXES: usize = 16;

/// Rows that a caller gives [`products`] at once: enough that reading the panels costs less than
/// using them, and few enough that they stay in the second-level cache.
pub const ROWS_PER_CALL: usize = 48;

/// The most coordinates of a row, beyond which sums could exceed 32 bits.
pub const MAX_DIM: usize = 1 << 13;

/// What the entry 1 becomes.
pub const ONE: f64 = 32767.0;

/// The deviation of a product from that of the unit vectors.
pub const DEVIATION: f64 = 1.25e-5;

/// 1/32767².
const UNIT: f32 = (1.0 / (ONE * ONE)) as f32;

/// The entries that a row of d coordinates has in fixed point: whole pairs.
pub fn row_len(dim: usize) -> usize {
    dim.next_multiple_of(2)
}

/// Axes in fixed point, in panels: the entries of pair p of coordinates and axis a of a panel are
/// those from (p·16 + a)·2 on.
#[derive(Debug)]
pub struct Panels {
    values: Aligned<i16>,
    dim: usize,
    axes: usize,
}

impl Panels {
    /// So many axes of d = `dim` coordinates, all 0.
    ///
    /// # Panics
    /// If `dim` is 0 or above [`MAX_DIM`].
    pub fn new(dim: usize, axes: usize) -> Self {
        assert!((1..=MAX_DIM).contains(&dim), "coordinates of an axis");
        Self {
            values: Aligned::new(axes.next_multiple_of(AXES) * row_len(dim)),
            dim,
            axes,
        }
    }

    /// The number of axes.
    pub fn axes(&self) -> usize {
        self.axes
    }

    /// Sets a coordinate of the axes from `first` on.
    ///
    /// # Panics
    /// If there is no such axis or coordinate.
    pub fn set(&mut self, coordinate: usize, first: usize, values: &[f32]) {
        assert!(
            coordinate < self.dim && first + values.len() <= self.axes,
            "places of coordinates"
        );
        let pairs = row_len(self.dim) / 2;
        for (axis, &value) in (first..).zip(values) {
            let pair = axis / AXES * pairs + coordinate / 2;
            let place = (pair * AXES + axis % AXES) * 2 + coordinate % 2;
            self.values[place] = convert::to_fixed(value * ONE as f32);
        }
    }

    /// The panels, pair by pair.
    fn pairs(&self) -> std::slice::ChunksExact<'_, i16> {
        self.values.chunks_exact(AXES * row_len(self.dim))
    }

    /// Checks the lengths and returns the number of rows.
    fn rows(&self, x: &[i16], out: &[f32]) -> usize {
        let length = row_len(self.dim);
        let rows = x.len() / length;
        assert!(
            x.len() == rows * length && out.len() == rows * self.axes,
            "rows and their products"
        );
        rows
    }
}

vector_kernel! {
    /// out\[i·n + j\] ← ⟨x̄ᵢ, āⱼ⟩/32767² of rows x̄ of [`row_len`] entries and n axes.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn products(panels: &Panels, x: &[i16], out: &mut [f32]); avx512
}
