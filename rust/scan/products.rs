//! Inner products of all pairs.
//!
//! A tile of rows is expanded, and set side by side in panels for many queries ([`dense::panel_products`]). The batch is never decoded: memory is
//! one tile a thread, and no row is rotated back. Bound by the multiply-adds of d coordinates a pair; what is done once a row (unpacking,
//! expanding, setting side by side) is shared by all queries.

use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::dense::{self, ROWS_PER_PANEL, VECTORS_PER_PASS};
use crate::scan::{Query, columns, joined};
use crate::threads;

/// Rows of a tile.
pub const TILE: usize = 64;

/// Queries for which it pays to set the rows side by side.
const FEWEST: usize = 12;

/// Numbers of the queries that meet a tile at a time, at most 96 of d = 384: they stay in the second-level cache.
const BATCH: usize = 96 * 384;

/// What the estimates need of each row besides its expansion.
#[derive(Debug, Clone, Copy)]
pub struct Scalars<'a> {
    /// s.
    pub scale: &'a [f32],
    /// ⟨μ, r⟩, for queries that are centered.
    pub center_product: Option<&'a [f32]>,
}

/// Writes ⟨x̂ᵢ, yⱼ⟩ to out\[j·n + i\].
///
/// `expand(tile, rows, buffer)` fills `buffer` with the expanded rows from `tile` · [`TILE`] on, each as long as a query's vector.
pub fn inner_products(
    isa: Isa,
    queries: &[Query],
    scalars: Scalars<'_>,
    out: &mut [f32],
    expand: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let rows = scalars.scale.len();
    assert_eq!(out.len(), rows * queries.len(), "one value a pair");
    let Some(length) = queries.first().map(|query| query.vector.len()) else {
        return;
    };
    if rows == 0 {
        return;
    }
    let tiles = columns(out, rows, TILE);
    let panels = queries.len() >= FEWEST;
    let mut vectors = joined(queries);
    if panels {
        for (query, vector) in queries.iter().zip(vectors.chunks_exact_mut(length)) {
            dense::to_lane_order(isa, &query.vector, vector);
        }
    }
    let batch = if panels {
        (BATCH / length / VECTORS_PER_PASS * VECTORS_PER_PASS)
            .clamp(4 * VECTORS_PER_PASS, 16 * VECTORS_PER_PASS)
    } else {
        dense::VECTORS_PER_BATCH
    };
    let buffers = || Buffers {
        expanded: Aligned::new(TILE * length),
        panels: Aligned::new(if panels { TILE * length } else { 0 }),
        products: Aligned::new(TILE * batch),
    };
    threads::for_each(tiles.into_iter(), buffers, |buffers, tile, mut pieces| {
        let from = tile * TILE;
        let live = TILE.min(rows - from);
        let expanded = &mut buffers.expanded[..live * length];
        expand(from, live, expanded);
        if panels {
            let rows = expanded.chunks(ROWS_PER_PANEL * length);
            for (rows, panel) in rows.zip(buffers.panels.chunks_exact_mut(ROWS_PER_PANEL * length))
            {
                dense::pack_panel(isa, rows, length, panel);
            }
        }
        for ((queries, vectors), pieces) in (queries.chunks(batch))
            .zip(vectors.chunks(batch * length))
            .zip(pieces.chunks_mut(batch))
        {
            threads::check();
            // The rows that go together, and how far a query's products are apart.
            let (together, stride) = if panels {
                (ROWS_PER_PANEL, ROWS_PER_PANEL)
            } else {
                (live, live)
            };
            let expanded = expanded.chunks(together * length);
            let panel = buffers
                .panels
                .chunks(ROWS_PER_PANEL * length)
                .chain(std::iter::repeat(&[][..]));
            for (place, (rows, panel)) in expanded.zip(panel).enumerate() {
                let products = &mut buffers.products[..stride * queries.len()];
                if panels {
                    dense::panel_products(isa, panel, length, vectors, products);
                } else {
                    dense::products(isa, rows, length, vectors, products);
                }
                let here = place * together..place * together + rows.len() / length;
                let scale = &scalars.scale[from..][here.clone()];
                let base = scalars
                    .center_product
                    .map(|base| &base[from..][here.clone()]);
                let products = products.chunks_exact(stride);
                for ((query, piece), products) in queries.iter().zip(&mut *pieces).zip(products) {
                    query.estimates(
                        isa,
                        &products[..scale.len()],
                        scale,
                        base,
                        &mut piece[here.clone()],
                    );
                }
            }
        }
    });
}

/// Of one thread.
struct Buffers {
    expanded: Aligned<f32>,
    panels: Aligned<f32>,
    products: Aligned<f32>,
}
