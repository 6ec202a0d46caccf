//! Asymmetric inner products of all pairs: the rows are codes, and the queries are full vectors. No
//! row is rotated back: a query is rotated once, and its products with the codewords are scaled.
//!
//! A tile of rows is expanded to its codeword vectors. For many queries the tile is also packed
//! into panels ([`dense::panel_products`]). So the batch is never decoded as a whole, and each
//! thread has the memory of one tile.
//!
//! **Cost.** d multiply-adds per pair are the bound. Unpacking, expanding and packing a row is done
//! once, and all queries share it.

use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::dense::{self, ROWS_PER_PANEL, VECTORS_PER_PASS};
use crate::scan::{Query, columns, joined};
use crate::threads;

/// Rows of a tile, which one thread expands at a time.
pub const ROWS_PER_TILE: usize = 64;

/// The fewest queries for which packing the rows into panels pays.
const MIN_QUERIES_FOR_PANELS: usize = 12;

/// Values of the queries that are multiplied with a tile at a time, which stay in the second-level
/// cache: 96 queries of d = 384.
const VALUES_PER_BATCH: usize = 96 * 384;

/// The scalars of each row that the estimates need besides the expanded row.
#[derive(Debug, Clone, Copy)]
pub struct Scalars<'a> {
    /// s.
    pub scale: &'a [f32],
    /// ⟨μ, r⟩, if the queries are centered.
    pub center_product: Option<&'a [f32]>,
}

/// Writes ⟨x̂ᵢ, yⱼ⟩ to out\[j·n + i\].
///
/// `expand(first, rows, buffer)` fills `buffer` with `rows` expanded rows, starting with row
/// `first`. Each of them is as long as a query's vector.
pub fn inner_products(
    isa: Isa,
    queries: &[Query],
    scalars: Scalars<'_>,
    out: &mut [f32],
    expand: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let each: Vec<&Query> = queries.iter().collect();
    all_products(
        isa,
        &each,
        scalars.scale.len(),
        out,
        expand,
        |q, first, dots, out| {
            let scale = &scalars.scale[first..][..dots.len()];
            let base = scalars
                .center_product
                .map(|base| &base[first..][..dots.len()]);
            queries[q].estimates(isa, dots, scale, base, out);
        },
    );
}

/// Writes what `finish` makes of the products of all rows with all queries to out\[j·n + i\].
///
/// `finish(j, first, dots, out)` gets the products of some rows from row `first` on with query j.
/// `expand` is that of [`inner_products`].
pub(super) fn all_products(
    isa: Isa,
    queries: &[&Query],
    rows: usize,
    out: &mut [f32],
    expand: impl Fn(usize, usize, &mut [f32]) + Sync,
    finish: impl Fn(usize, usize, &[f32], &mut [f32]) + Sync,
) {
    assert_eq!(out.len(), rows * queries.len(), "one value per pair");
    let Some(length) = queries.first().map(|query| query.vector.len()) else {
        return;
    };
    if rows == 0 {
        return;
    }
    let tiles = columns(out, rows, ROWS_PER_TILE);
    let panels = queries.len() >= MIN_QUERIES_FOR_PANELS;
    let vectors = if panels {
        let mut vectors = Aligned::new(queries.len() * length);
        for (query, vector) in queries.iter().zip(vectors.chunks_exact_mut(length)) {
            dense::to_lane_order(isa, &query.vector, vector);
        }
        vectors
    } else {
        joined(queries.iter().copied())
    };
    let batch = if panels {
        (VALUES_PER_BATCH / length / VECTORS_PER_PASS * VECTORS_PER_PASS)
            .clamp(4 * VECTORS_PER_PASS, 16 * VECTORS_PER_PASS)
    } else {
        dense::VECTORS_PER_BATCH
    };
    let buffers = || Buffers {
        expanded: Aligned::new(ROWS_PER_TILE * length),
        panels: Aligned::new(if panels { ROWS_PER_TILE * length } else { 0 }),
        products: Aligned::new(ROWS_PER_TILE * batch),
    };
    threads::for_each(tiles.into_iter(), buffers, |buffers, tile, mut pieces| {
        let from = tile * ROWS_PER_TILE;
        let live = ROWS_PER_TILE.min(rows - from);
        let expanded = &mut buffers.expanded[..live * length];
        expand(from, live, expanded);
        if panels {
            let rows = expanded.chunks(ROWS_PER_PANEL * length);
            for (rows, panel) in rows.zip(buffers.panels.chunks_exact_mut(ROWS_PER_PANEL * length))
            {
                dense::pack_panel(isa, rows, length, panel);
            }
        }
        for (place, ((queries, vectors), pieces)) in (queries.chunks(batch))
            .zip(vectors.chunks(batch * length))
            .zip(pieces.chunks_mut(batch))
            .enumerate()
        {
            threads::check();
            let first_query = place * batch;
            // The rows of one kernel call, and the stride of the products from query to query.
            let (group, stride) = if panels {
                (ROWS_PER_PANEL, ROWS_PER_PANEL)
            } else {
                (live, live)
            };
            let expanded = expanded.chunks(group * length);
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
                let here = place * group..place * group + rows.len() / length;
                let products = products.chunks_exact(stride).zip(&mut *pieces);
                for (q, (products, piece)) in products.enumerate() {
                    let out = &mut piece[here.clone()];
                    finish(
                        first_query + q,
                        from + here.start,
                        &products[..out.len()],
                        out,
                    );
                }
            }
        }
    });
}

/// Buffers, of which each thread has its own.
struct Buffers {
    expanded: Aligned<f32>,
    panels: Aligned<f32>,
    products: Aligned<f32>,
}
