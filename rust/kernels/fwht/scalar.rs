//! The definition.

#[inline(always)]
pub fn fwht(x: &mut [f32], scale: f32) {
    let n = x.len();
    assert!(
        n.is_power_of_two(),
        "fwht of {n} values, expected a power of two"
    );
    let mut stride = 1;
    while stride < n {
        for piece in x.chunks_exact_mut(2 * stride) {
            butterflies(piece, stride);
        }
        stride *= 2;
    }
    for value in x {
        *value *= scale;
    }
}

#[inline(always)]
fn butterflies(piece: &mut [f32], stride: usize) {
    let (low, high) = piece.split_at_mut(stride);
    for (a, b) in low.iter_mut().zip(high) {
        (*a, *b) = (*a + *b, *a - *b);
    }
}
