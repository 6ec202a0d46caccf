//! The definition of the products.

use super::{ROWS_PER_PANEL, check_panel, lane_order, row_count};
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::scalar::{dot, sum_lanes};

/// Matrix rows that are added to a result in one pass over it.
const ROWS_PER_PASS: usize = 4;

pub fn products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, x, out);
    for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(rows.max(1))) {
        for (value, row) in out.iter_mut().zip(matrix.chunks_exact(dim)) {
            *value = dot(row, x);
        }
    }
}

#[inline(always)]
pub fn transposed_products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, out, x);
    out.fill(0.0);
    let (groups, rest) = matrix.split_at(rows / ROWS_PER_PASS * ROWS_PER_PASS * dim);
    for (g, group) in groups.chunks_exact(ROWS_PER_PASS * dim).enumerate() {
        let (a, b) = group.split_at(2 * dim);
        let ((a, b), (c, d)) = (a.split_at(dim), b.split_at(dim));
        for (x, out) in x.chunks_exact(rows).zip(out.chunks_exact_mut(dim)) {
            let f = &x[g * ROWS_PER_PASS..][..ROWS_PER_PASS];
            for ((((value, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let two = f[1].mul_add(*b, f[0].mul_add(*a, *value));
                *value = f[3].mul_add(*d, f[2].mul_add(*c, two));
            }
        }
    }
    for (j, row) in rest.chunks_exact(dim).enumerate() {
        let j = rows / ROWS_PER_PASS * ROWS_PER_PASS + j;
        for (x, out) in x.chunks_exact(rows).zip(out.chunks_exact_mut(dim)) {
            for (value, &entry) in out.iter_mut().zip(row) {
                *value = x[j].mul_add(entry, *value);
            }
        }
    }
}

#[inline(always)]
pub fn to_lane_order(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "coordinates");
    for (to, from) in out.iter_mut().zip(lane_order(x.len())) {
        *to = x[from];
    }
}

pub fn pack_panel(rows: &[f32], dim: usize, panel: &mut [f32]) {
    assert!(
        dim > 0 && panel.len() == dim * ROWS_PER_PANEL && rows.len() <= panel.len(),
        "entries of a panel"
    );
    for (r, row) in rows.chunks_exact(dim).enumerate() {
        for (to, from) in panel.chunks_exact_mut(ROWS_PER_PANEL).zip(lane_order(dim)) {
            to[r] = row[from];
        }
    }
}

pub fn panel_products(panel: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    check_panel(panel, dim, x, out);
    for (x, out) in x
        .chunks_exact(dim)
        .zip(out.chunks_exact_mut(ROWS_PER_PANEL))
    {
        for (r, out) in out.iter_mut().enumerate() {
            let mut sums = [0f32; SUM_LANES];
            for (place, from) in lane_order(dim).enumerate() {
                let sum = &mut sums[from % SUM_LANES];
                *sum = panel[place * ROWS_PER_PANEL + r].mul_add(x[place], *sum);
            }
            *out = sum_lanes(sums);
        }
    }
}
