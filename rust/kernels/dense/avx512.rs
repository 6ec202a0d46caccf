//! Products with the sixteen lanes of a sum, or sixteen rows of a panel, in one vector.

use std::arch::x86_64::__m512;

use super::blocked::{COLUMNS, ROWS, Row, columns, copied, empty};
use super::panel::{BIT_REVERSED_LANES, MAX_PENDING};
use super::vector::L1_ENTRIES;
use super::{MAX_HELD_ENTRIES, ROWS_PER_PANEL, check_panel, held, row_count};
use crate::isa::Avx512;
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::avx512::dot;

#[inline(always)]
pub fn products(s: Avx512, matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, x, out);
    let fours = rows / 4 * 4;
    let group = (L1_ENTRIES / dim / 4 * 4).max(4);
    for from in (0..fours).step_by(group) {
        let to = fours.min(from + group);
        let mut i = 0;
        while i < x.len() / dim {
            let remaining = x.len() / dim - i;
            for j in (from..to).step_by(4) {
                let (matrix, x) = (&matrix[j * dim..], &x[i * dim..]);
                let out = &mut out[i * rows + j..];
                if remaining >= 4 {
                    block::<4>(s, matrix, dim, x, out, rows);
                } else {
                    block::<1>(s, matrix, dim, x, out, rows);
                }
            }
            i += if remaining >= 4 { 4 } else { 1 };
        }
    }
    for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(rows)) {
        let matrix = matrix.chunks_exact(dim).skip(fours);
        for (row, out) in matrix.zip(&mut out[fours..]) {
            *out = dot(s, row, x);
        }
    }
}

/// Multiplies N vectors with four rows; vector i's products go to out\[i·`rows`\] and the three
/// entries after.
#[inline(always)]
fn block<const N: usize>(
    s: Avx512,
    matrix: &[f32],
    dim: usize,
    x: &[f32],
    out: &mut [f32],
    rows: usize,
) {
    let matrix: [_; 4] = [0, 1, 2, 3].map(|r| split(&matrix[r * dim..][..dim]));
    let x: [_; N] = std::array::from_fn(|i| split(&x[i * dim..][..dim]));
    let mut sums = [[s.splat(0.0); 4]; N];
    for place in 0..dim / SUM_LANES {
        let mut a = [s.splat(0.0); 4];
        for (a, (row, _)) in a.iter_mut().zip(&matrix) {
            *a = s.load(&row[place]);
        }
        for i in 0..N {
            let x = s.load(&x[i].0[place]);
            for r in 0..4 {
                sums[i][r] = s.fma(a[r], x, sums[i][r]);
            }
        }
    }
    let rest = dim % SUM_LANES;
    if rest > 0 {
        // Adding zero to the other lanes would make a −0 of them a 0.
        let mask = s.first(rest);
        let mut a = [s.splat(0.0); 4];
        for (a, (_, row)) in a.iter_mut().zip(&matrix) {
            *a = s.load_part(row);
        }
        for i in 0..N {
            let x = s.load_part(x[i].1);
            for r in 0..4 {
                sums[i][r] = s.fma_where(mask, a[r], x, sums[i][r]);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        out[i * rows..][..4].copy_from_slice(&s.sums_of_four(sums));
    }
}

/// The whole groups of sixteen coordinates, and those after them.
#[inline(always)]
fn split(vector: &[f32]) -> (&[[f32; SUM_LANES]], &[f32]) {
    vector.as_chunks()
}

#[inline(always)]
pub fn panel_products(s: Avx512, panel: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    check_panel(panel, dim, x, out);
    let (panel, _) = panel.as_chunks::<ROWS_PER_PANEL>();
    let (out, _) = out.as_chunks_mut::<ROWS_PER_PANEL>();
    let (mut x, mut out) = (x, out);
    while !x.is_empty() {
        let vectors = match x.len() / dim {
            8.. => panel_products_of::<8>(s, panel, x, out),
            6.. => panel_products_of::<6>(s, panel, x, out),
            4.. => panel_products_of::<4>(s, panel, x, out),
            2.. => panel_products_of::<2>(s, panel, x, out),
            _ => panel_products_of::<1>(s, panel, x, out),
        };
        x = &x[vectors * dim..];
        out = &mut out[vectors..];
    }
}

/// Computes the products of the first N vectors and returns N.
#[inline(always)]
fn panel_products_of<const N: usize>(
    s: Avx512,
    panel: &[[f32; ROWS_PER_PANEL]],
    x: &[f32],
    out: &mut [[f32; ROWS_PER_PANEL]],
) -> usize {
    let dim = panel.len();
    let vectors: [&[f32]; N] = std::array::from_fn(|i| &x[i * dim..][..dim]);
    let zeros: [__m512; N] = [s.splat(0.0); N];
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
            let row = s.load(row);
            for i in 0..N {
                sums[i] = s.fma(row, s.splat(vectors[i][k]), sums[i]);
            }
        }
        // The lanes before that wait for this one, the latest first.
        let completed = (turn + 1).trailing_zeros() as usize;
        for pending in &pending[..completed] {
            for i in 0..N {
                sums[i] = s.add(pending[i], sums[i]);
            }
        }
        if let Some(pending) = pending.get_mut(completed) {
            *pending = sums;
        }
    }
    for (sum, to) in sums.into_iter().zip(out) {
        s.store(sum, to);
    }
    N
}

#[inline(always)]
pub fn transposed_products(s: Avx512, matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, out, x);
    if matrix.len() <= MAX_HELD_ENTRIES {
        return held::transposed_products(s.avx2(), matrix, dim, x, out);
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
                    8.. => add::<8>(s, block, x, out, width),
                    4.. => add::<4>(s, block, x, out, width),
                    2.. => add::<2>(s, block, x, out, width),
                    _ => add::<1>(s, block, x, out, width),
                };
            }
        }
    }
}

/// Adds the products of a block to `width` columns of N results, and returns N. Each vector and
/// each result begins a stride after that before.
#[inline(always)]
fn add<const N: usize>(
    s: Avx512,
    block: &[Row],
    (x, rows): (&[f32], usize),
    (out, dim): (&mut [f32], usize),
    width: usize,
) -> usize {
    const VECTORS: usize = COLUMNS / SUM_LANES;
    let x: [&[f32]; N] = std::array::from_fn(|i| &x[i * rows..][..block.len()]);
    let mut columns = columns::<N>(out, dim, width);
    let mut sums = [[s.splat(0.0); VECTORS]; N];
    for (sums, columns) in sums.iter_mut().zip(&columns) {
        for (sum, from) in sums.iter_mut().zip(columns.as_chunks().0) {
            *sum = s.load(from);
        }
    }
    for (j, row) in block.iter().enumerate() {
        let (row, _) = row.as_chunks();
        let entries: [_; VECTORS] = std::array::from_fn(|c| s.load(&row[c]));
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
