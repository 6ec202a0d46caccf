//! The reductions with all lanes of the sum in one register.

use crate::isa::Avx512;
use crate::kernels::SUM_LANES;

/// The body of [`dot`](super::dot).
#[inline(always)]
pub fn dot(s: Avx512, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths of a dot product");
    let (a_body, a_tail) = a.as_chunks::<SUM_LANES>();
    let (b_body, b_tail) = b.as_chunks::<SUM_LANES>();
    let mut sum = s.splat(0.0);
    for (x, y) in a_body.iter().zip(b_body) {
        sum = s.fma(s.load(x), s.load(y), sum);
    }
    // Adding zero to the other lanes would make a −0 of them a 0.
    let (x, y) = (s.load_part(a_tail), s.load_part(b_tail));
    s.sum(s.fma_where(s.first(a_tail.len()), x, y, sum))
}
