//! Transposed products with a small matrix, the results held in registers: sixteen columns of up to
//! six vectors.

use super::{row_count, scalar};
use crate::kernels::simd::{LANES_32, Simd};

#[inline(always)]
pub fn transposed_products<S: Simd>(s: S, matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, out, x);
    if rows == 0 || dim < LANES_32 {
        return scalar::transposed_products(matrix, dim, x, out);
    }
    let (mut x, mut out) = (x, out);
    while !out.is_empty() {
        let vectors = match out.len() / dim {
            6.. => products_of::<S, 6, 2>(s, matrix, dim, x, out),
            3.. => products_of::<S, 3, 4>(s, matrix, dim, x, out),
            2 => products_of::<S, 2, 4>(s, matrix, dim, x, out),
            _ => products_of::<S, 1, 8>(s, matrix, dim, x, out),
        };
        x = &x[vectors * rows..];
        out = &mut out[vectors * dim..];
    }
}

/// Computes the products of the first N vectors, up to C vectors of columns at a time, and returns
/// N.
#[inline(always)]
fn products_of<S: Simd, const N: usize, const C: usize>(
    s: S,
    matrix: &[f32],
    dim: usize,
    x: &[f32],
    out: &mut [f32],
) -> usize {
    let rows = matrix.len() / dim;
    let x: [&[f32]; N] = std::array::from_fn(|i| &x[i * rows..][..rows]);
    let mut from = 0;
    while from < dim {
        let whole = (dim - from) / LANES_32;
        let width = if whole >= C {
            columns::<S, N, C>(s, matrix, dim, from, x, out)
        } else if C > 4 && whole >= 4 {
            columns::<S, N, 4>(s, matrix, dim, from, x, out)
        } else if C > 2 && whole >= 2 {
            columns::<S, N, 2>(s, matrix, dim, from, x, out)
        } else {
            // The last vector of columns starts earlier and computes some columns again.
            from = from.min(dim - LANES_32);
            columns::<S, N, 1>(s, matrix, dim, from, x, out)
        };
        from += width * LANES_32;
    }
    N
}

/// Computes the products of C vectors of columns from column `from` on, and returns C.
#[inline(always)]
fn columns<S: Simd, const N: usize, const C: usize>(
    s: S,
    matrix: &[f32],
    dim: usize,
    from: usize,
    x: [&[f32]; N],
    out: &mut [f32],
) -> usize {
    let mut sums = [[s.splat(0.0); C]; N];
    for (j, row) in matrix.chunks_exact(dim).enumerate() {
        let (row, _) = row[from..from + C * LANES_32].as_chunks::<LANES_32>();
        let entries: [S::F32x8; C] = std::array::from_fn(|c| s.load(&row[c]));
        for i in 0..N {
            let x = s.splat(x[i][j]);
            for c in 0..C {
                sums[i][c] = s.fma(x, entries[c], sums[i][c]);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        let out = &mut out[i * dim + from..][..C * LANES_32];
        for (sum, to) in sums.into_iter().zip(out.as_chunks_mut().0) {
            s.store(sum, to);
        }
    }
    C
}
