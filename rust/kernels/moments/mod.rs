//! Sums of products of all pairs of coordinates over many rows, for a covariance.
//!
//! **Mathematics.** S ← S + Σₖ xₖ·xₖᵀ over the rows xₖ in float64. An entry takes its products one
//! after the other, in the order of the rows, each fused with the sum. So the sums do not depend
//! on how the rows are divided among calls, and no tile of S depends on another.
//!
//! **Layout.** [`WIDTH`] coordinates of all rows are a panel: row by row, `WIDTH` values each. The
//! products of two panels are a [`Tile`] of S.
//!
//! ```text
//! add_products(left, right panels, tiles):
//!     for each tile, and the right panel that belongs to it:
//!         for four of the left coordinates at a time:
//!             sums[4][8] ← the tile
//!             for each row k:  sums[i][j] ← fma(left[k][i], right[k][j], sums[i][j])
//!             the tile ← sums
//! ```
//!
//! **Cost.** One multiply-add per row and entry of S, of which half are computed, since S is
//! symmetric. On AVX2 the sums of four coordinates are eight registers: two loads and four
//! broadcasts for eight multiply-adds, which bound it. The compiler makes this of the definition.

mod scalar;

use super::kernel;

/// Coordinates of a panel: a cache line of float64.
pub const WIDTH: usize = 8;

/// The sums of all pairs of a left and a right coordinate.
pub type Tile = [[f64; WIDTH]; WIDTH];

kernel! {
    /// Adds the products of a panel of left coordinates and each panel of right ones to the tile of
    /// that pair. `right` has as many panels as there are tiles, one after the other.
    ///
    /// # Panics
    /// If the panels do not have equally many rows.
    pub fn add_products(left: &[[f64; WIDTH]], right: &[[f64; WIDTH]], sums: &mut [Tile])
}
