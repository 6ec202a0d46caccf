//! The definition.

use crate::kernels::reduce::scalar::dot;

#[inline(always)]
pub fn product(matrix: &[f32], x: &[f32], out: &mut [f32]) {
    assert_eq!(matrix.len(), x.len() * out.len(), "matrix entries");
    for (value, row) in out.iter_mut().zip(matrix.chunks_exact(x.len())) {
        *value = dot(row, x);
    }
}

#[inline(always)]
pub fn transposed_product(matrix: &[f32], x: &[f32], out: &mut [f32]) {
    assert_eq!(matrix.len(), x.len() * out.len(), "matrix entries");
    out.fill(0.0);
    for (&factor, row) in x.iter().zip(matrix.chunks_exact(out.len())) {
        for (value, &entry) in out.iter_mut().zip(row) {
            *value = factor.mul_add(entry, *value);
        }
    }
}
