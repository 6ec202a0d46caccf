//! Transposed products with a large matrix, of which a block is copied at a time.

use super::{MAX_HELD_ENTRIES, held, row_count};
use crate::kernels::simd::{LANES_32, Simd};

/// Rows and columns of a block. It stays in the first-level cache, where the columns of the matrix
/// itself would compete for a few places.
pub(super) const ROWS: usize = 128;
pub(super) const COLUMNS: usize = 32;

/// A row of a block, or the columns of a result.
pub(super) type Row = [f32; COLUMNS];

#[inline(always)]
pub fn transposed_products<S: Simd>(s: S, matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, out, x);
    if matrix.len() <= MAX_HELD_ENTRIES {
        return held::transposed_products(s, matrix, dim, x, out);
    }
    let mut copy = empty();
    out.fill(0.0);
    for first in (0..rows).step_by(ROWS) {
        for from in (0..dim).step_by(COLUMNS) {
            let block = copied(matrix, dim, (first, from), &mut copy);
            let mut i = 0;
            while i < x.len() / rows {
                let remaining = x.len() / rows - i;
                let x = (&x[i * rows + first..], rows);
                let out = (&mut out[i * dim + from..], dim);
                let width = COLUMNS.min(dim - from);
                i += match remaining {
                    3.. => add::<S, 3>(s, block, x, out, width),
                    2 => add::<S, 2>(s, block, x, out, width),
                    _ => add::<S, 1>(s, block, x, out, width),
                };
            }
        }
    }
}

/// Room for a block.
#[inline(always)]
pub(super) fn empty() -> [Row; ROWS] {
    [[0.0; COLUMNS]; ROWS]
}

/// Copies the block of the matrix from row `at.0` and column `at.1` on.
#[inline(always)]
pub(super) fn copied<'a>(
    matrix: &[f32],
    dim: usize,
    at: (usize, usize),
    to: &'a mut [Row; ROWS],
) -> &'a [Row] {
    let width = COLUMNS.min(dim - at.1);
    let rows = matrix.chunks_exact(dim).skip(at.0).take(ROWS);
    let height = rows.len();
    for (to, row) in to.iter_mut().zip(rows) {
        to[..width].copy_from_slice(&row[at.1..][..width]);
    }
    &to[..height]
}

/// The first `width` columns of N results, each of which begins `dim` values after that before.
#[inline(always)]
pub(super) fn columns<const N: usize>(out: &[f32], dim: usize, width: usize) -> [Row; N] {
    let mut columns = [[0.0; COLUMNS]; N];
    for (i, columns) in columns.iter_mut().enumerate() {
        columns[..width].copy_from_slice(&out[i * dim..][..width]);
    }
    columns
}

/// Adds the products of a block to `width` columns of N results, and returns N. Each vector and
/// each result begins a stride after that before.
#[inline(always)]
fn add<S: Simd, const N: usize>(
    s: S,
    block: &[Row],
    (x, rows): (&[f32], usize),
    (out, dim): (&mut [f32], usize),
    width: usize,
) -> usize {
    const VECTORS: usize = COLUMNS / LANES_32;
    let x: [&[f32]; N] = std::array::from_fn(|i| &x[i * rows..][..block.len()]);
    let mut columns = columns::<N>(out, dim, width);
    let mut sums = [[s.splat(0.0); VECTORS]; N];
    for (sums, columns) in sums.iter_mut().zip(&columns) {
        for (sum, from) in sums.iter_mut().zip(columns.as_chunks().0) {
            *sum = s.load(from);
        }
    }
    for (j, row) in block.iter().enumerate() {
        let (row, _) = row.as_chunks::<LANES_32>();
        let entries: [S::F32x8; VECTORS] = std::array::from_fn(|c| s.load(&row[c]));
        for i in 0..N {
            let x = s.splat(x[i][j]);
            for c in 0..VECTORS {
                sums[i][c] = s.fma(x, entries[c], sums[i][c]);
            }
        }
    }
    for (i, (sums, columns)) in sums.into_iter().zip(&mut columns).enumerate() {
        for (sum, to) in sums.into_iter().zip(columns.as_chunks_mut().0) {
            s.store(sum, to);
        }
        out[i * dim..][..width].copy_from_slice(&columns[..width]);
    }
    N
}
