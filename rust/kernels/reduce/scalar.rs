//! The definition of the sums, in the order of the contract.

use crate::kernels::SUM_LANES;

#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths of a dot product");
    let mut sum = [0f32; SUM_LANES];
    let (a_body, a_tail) = a.as_chunks::<SUM_LANES>();
    let (b_body, b_tail) = b.as_chunks::<SUM_LANES>();
    for (x, y) in a_body.iter().zip(b_body) {
        for l in 0..SUM_LANES {
            sum[l] = x[l].mul_add(y[l], sum[l]);
        }
    }
    for ((lane, x), y) in sum.iter_mut().zip(a_tail).zip(b_tail) {
        *lane = x.mul_add(*y, *lane);
    }
    sum_lanes(sum)
}

#[inline(always)]
pub fn dot_and_square(u: &[f32], c: &[f32]) -> (f32, f32) {
    assert_eq!(u.len(), c.len(), "lengths of a dot product");
    let (mut product, mut square) = ([0f32; SUM_LANES], [0f32; SUM_LANES]);
    let (u_body, u_tail) = u.as_chunks::<SUM_LANES>();
    let (c_body, c_tail) = c.as_chunks::<SUM_LANES>();
    for (x, y) in u_body.iter().zip(c_body) {
        for l in 0..SUM_LANES {
            product[l] = x[l].mul_add(y[l], product[l]);
            square[l] = y[l].mul_add(y[l], square[l]);
        }
    }
    for (l, (x, y)) in u_tail.iter().zip(c_tail).enumerate() {
        product[l] = x.mul_add(*y, product[l]);
        square[l] = y.mul_add(*y, square[l]);
    }
    (sum_lanes(product), sum_lanes(square))
}

#[inline(always)]
pub fn error_sums(u: &[f32], c: &[f32]) -> (f32, f32) {
    assert_eq!(u.len(), c.len(), "lengths of a difference");
    let (mut product, mut square) = ([0f32; SUM_LANES], [0f32; SUM_LANES]);
    let (u_body, u_tail) = u.as_chunks::<SUM_LANES>();
    let (c_body, c_tail) = c.as_chunks::<SUM_LANES>();
    for (x, y) in u_body.iter().zip(c_body) {
        for l in 0..SUM_LANES {
            let error = x[l] - y[l];
            product[l] = x[l].mul_add(error, product[l]);
            square[l] = error.mul_add(error, square[l]);
        }
    }
    for (l, (x, y)) in u_tail.iter().zip(c_tail).enumerate() {
        let error = x - y;
        product[l] = x.mul_add(error, product[l]);
        square[l] = error.mul_add(error, square[l]);
    }
    (sum_lanes(product), sum_lanes(square))
}

/// Adds the lanes by halving.
#[inline(always)]
pub fn sum_lanes<T: Copy + std::ops::Add<Output = T>>(mut sum: [T; SUM_LANES]) -> T {
    let mut width = SUM_LANES / 2;
    while width > 0 {
        for l in 0..width {
            sum[l] = sum[l] + sum[l + width];
        }
        width /= 2;
    }
    sum[0]
}

#[inline(always)]
pub fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths of a dot product");
    let mut sum = [0f64; SUM_LANES];
    let (a_body, a_tail) = a.as_chunks::<SUM_LANES>();
    let (b_body, b_tail) = b.as_chunks::<SUM_LANES>();
    for (x, y) in a_body.iter().zip(b_body) {
        for l in 0..SUM_LANES {
            sum[l] = f64::from(x[l]).mul_add(f64::from(y[l]), sum[l]);
        }
    }
    for ((lane, &x), &y) in sum.iter_mut().zip(a_tail).zip(b_tail) {
        *lane = f64::from(x).mul_add(f64::from(y), *lane);
    }
    sum_lanes(sum)
}

#[inline(always)]
pub fn squared_norm(x: &[f32]) -> f64 {
    dot_f64(x, x)
}
