//! Inner products on packed codes.
//!
//! ⟨x̂, y⟩ = s/√d · ⟨û, R y⟩ + ⟨center, y⟩: a query is rotated once, a tile of rows is unpacked to codeword vectors, and each pair is one dot product. The
//! batch is never decoded: memory is one tile a thread. A tile of 32 rows of d = 384 is 48 KiB, so it stays in the second-level cache while
//! all queries pass over it.

use rayon::prelude::*;

use crate::isa::Isa;
use crate::kernels::reduce;

/// Rows of a tile.
pub const TILE: usize = 32;

/// A query ready for the scan.
#[derive(Debug, Clone)]
pub struct Query {
    /// What expanded rows are multiplied with.
    pub vector: Vec<f32>,
    /// Factor of every product besides the row's scale.
    pub factor: f64,
    /// ⟨center, y⟩, added to every estimate.
    pub offset: f64,
}

/// Writes ⟨x̂ᵢ, yⱼ⟩ to out\[j·n + i\].
///
/// `expand(tile, rows, buffer)` fills `buffer` with the expanded rows from `tile` · [`TILE`] on, each as long as a query's vector.
pub fn inner_products(
    isa: Isa,
    queries: &[Query],
    scale: &[f32],
    out: &mut [f32],
    expand: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let rows = scale.len();
    assert_eq!(out.len(), rows * queries.len(), "one value a pair");
    let Some(length) = queries.first().map(|query| query.vector.len()) else {
        return;
    };
    if rows == 0 {
        return;
    }
    // The columns of a tile, one piece a query: disjoint, so tiles can be filled in parallel.
    let mut tiles: Vec<Vec<&mut [f32]>> = Vec::new();
    tiles.resize_with(rows.div_ceil(TILE), || Vec::with_capacity(queries.len()));
    for line in out.chunks_mut(rows) {
        for (tile, piece) in tiles.iter_mut().zip(line.chunks_mut(TILE)) {
            tile.push(piece);
        }
    }
    tiles.into_par_iter().enumerate().for_each_init(
        || vec![0f32; TILE * length],
        |buffer, (tile, pieces)| {
            let from = tile * TILE;
            let live = TILE.min(rows - from);
            let buffer = &mut buffer[..live * length];
            expand(from, live, buffer);
            for (query, piece) in queries.iter().zip(pieces) {
                let expanded = buffer.chunks_exact(length);
                for ((value, c), &s) in piece.iter_mut().zip(expanded).zip(&scale[from..]) {
                    let product = f64::from(reduce::dot(isa, c, &query.vector));
                    *value = (product * f64::from(s) * query.factor + query.offset) as f32;
                }
            }
        },
    );
}
