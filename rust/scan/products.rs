//! Inner products of all pairs.
//!
//! A tile of rows is unpacked to codeword vectors, which are the matrix that some queries at a time are multiplied with. The batch is never
//! decoded: memory is one tile a thread, and no row is rotated back. A tile of 32 rows of d = 384 is 48 KiB and the queries together 36 KiB, so both
//! stay in the second-level cache, and the product is bound by its fused multiply-adds ([`dense`]).

use rayon::prelude::*;

use crate::isa::Isa;
use crate::kernels::dense;
use crate::scan::{Query, columns};

/// Rows of a tile.
pub const TILE: usize = 32;

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
    let tiles = columns(out, rows, TILE);
    let vectors: Vec<f32> = (queries.iter())
        .flat_map(|query| query.vector.iter().copied())
        .collect();
    tiles.into_par_iter().enumerate().for_each_init(
        || (vec![0f32; TILE * length], vec![0f32; TILE * dense::BATCH]),
        |(expanded, products), (tile, mut pieces)| {
            let from = tile * TILE;
            let live = TILE.min(rows - from);
            let expanded = &mut expanded[..live * length];
            expand(from, live, expanded);
            for ((queries, vectors), pieces) in (queries.chunks(dense::BATCH))
                .zip(vectors.chunks(dense::BATCH * length))
                .zip(pieces.chunks_mut(dense::BATCH))
            {
                let products = &mut products[..live * queries.len()];
                dense::products(isa, expanded, length, vectors, products);
                for ((query, piece), products) in
                    queries.iter().zip(pieces).zip(products.chunks_exact(live))
                {
                    for ((value, &dot), &s) in piece.iter_mut().zip(products).zip(&scale[from..]) {
                        *value = query.estimate(dot, s);
                    }
                }
            }
        },
    );
}
