//! The panel kernel: sixteen rows in two vectors against up to six vectors.

use super::{ROWS_PER_PANEL, VECTORS_PER_PASS, check_panel, scalar};
use crate::kernels::SUM_LANES;
use crate::kernels::simd::{LANES_32, Simd};

/// The lanes of the contract in bit-reversed order, in which halving adds neighbors: 0 + 8, 4 + 12,
/// then the sums of these, and so on.
pub(super) const BIT_REVERSED_LANES: [usize; SUM_LANES] =
    [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

/// The most sums that wait for their partner at a time.
pub(super) const MAX_PENDING: usize = SUM_LANES.ilog2() as usize;

#[inline(always)]
pub fn pack_panel<S: Simd>(s: S, rows: &[f32], dim: usize, panel: &mut [f32]) {
    if !dim.is_multiple_of(SUM_LANES) || rows.len() < dim * ROWS_PER_PANEL {
        return scalar::pack_panel(rows, dim, panel);
    }
    assert!(rows.len() == panel.len(), "entries of a panel");
    let coordinates_per_lane = dim / SUM_LANES;
    let (panel, _) = panel.as_chunks_mut::<LANES_32>();
    for half in 0..ROWS_PER_PANEL / LANES_32 {
        let rows: [&[[f32; 4]]; LANES_32] =
            std::array::from_fn(|r| rows[(half * LANES_32 + r) * dim..][..dim].as_chunks().0);
        for four in 0..dim / 4 {
            let columns = s.load_transposed_8x4(rows.map(|row| &row[four]));
            let place = four % 4 * 4 * coordinates_per_lane + four / 4;
            for (j, column) in columns.into_iter().enumerate() {
                s.store(
                    column,
                    &mut panel[(place + j * coordinates_per_lane) * 2 + half],
                );
            }
        }
    }
}

#[inline(always)]
pub fn panel_products<S: Simd>(s: S, panel: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    check_panel(panel, dim, x, out);
    let (panel, _) = panel.as_chunks::<ROWS_PER_PANEL>();
    let (mut x, mut out) = (x, out);
    while !x.is_empty() {
        let vectors = match x.len() / dim {
            VECTORS_PER_PASS.. => products_of::<S, VECTORS_PER_PASS>(s, panel, x, out),
            4.. => products_of::<S, 4>(s, panel, x, out),
            2.. => products_of::<S, 2>(s, panel, x, out),
            _ => products_of::<S, 1>(s, panel, x, out),
        };
        x = &x[vectors * dim..];
        out = &mut out[vectors * ROWS_PER_PANEL..];
    }
}

/// Computes the products of the first N vectors and returns N.
#[inline(always)]
fn products_of<S: Simd, const N: usize>(
    s: S,
    panel: &[[f32; ROWS_PER_PANEL]],
    x: &[f32],
    out: &mut [f32],
) -> usize {
    let dim = panel.len();
    let vectors: [&[f32]; N] = std::array::from_fn(|i| &x[i * dim..][..dim]);
    let zeros = [[s.splat(0.0); 2]; N];
    let mut pending = [zeros; MAX_PENDING];
    let mut sums = zeros;
    for (turn, lane) in BIT_REVERSED_LANES.into_iter().enumerate() {
        // The first d mod 16 lanes have one coordinate more than the others.
        let from = lane * (dim / SUM_LANES) + lane.min(dim % SUM_LANES);
        let length = (dim + SUM_LANES - 1 - lane) / SUM_LANES;
        let rows = &panel[from..][..length];
        let vectors = vectors.map(|vector| &vector[from..][..length]);
        sums = zeros;
        for (k, row) in rows.iter().enumerate() {
            let (row, _) = row.as_chunks::<LANES_32>();
            let row = [s.load(&row[0]), s.load(&row[1])];
            for i in 0..N {
                let y = s.splat(vectors[i][k]);
                for half in 0..2 {
                    sums[i][half] = s.fma(row[half], y, sums[i][half]);
                }
            }
        }
        // As in a binary counter: after turn t, as many pairs are complete as t has trailing ones.
        let completed = turn.trailing_ones() as usize;
        for pending in &pending[..completed] {
            for i in 0..N {
                for half in 0..2 {
                    sums[i][half] = s.add(pending[i][half], sums[i][half]);
                }
            }
        }
        if let Some(pending) = pending.get_mut(completed) {
            *pending = sums;
        }
    }
    let (out, _) = out.as_chunks_mut::<LANES_32>();
    for i in 0..N {
        for half in 0..2 {
            s.store(sums[i][half], &mut out[2 * i + half]);
        }
    }
    N
}
