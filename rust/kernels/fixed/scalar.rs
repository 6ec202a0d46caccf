//! The definition of the products.

use super::{AXES, Panels, UNIT, row_len};

pub fn products(panels: &Panels, x: &[i16], out: &mut [f32]) {
    panels.rows(x, out);
    for (x, out) in x
        .chunks_exact(row_len(panels.dim))
        .zip(out.chunks_exact_mut(panels.axes.max(1)))
    {
        for (panel, out) in panels.pairs().zip(out.chunks_mut(AXES)) {
            let mut sums = [0i32; AXES];
            for (pair, x) in panel.chunks_exact(2 * AXES).zip(x.as_chunks::<2>().0) {
                for (sum, a) in sums.iter_mut().zip(pair.as_chunks::<2>().0) {
                    *sum += i32::from(a[0]) * i32::from(x[0]) + i32::from(a[1]) * i32::from(x[1]);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum as f32 * UNIT;
            }
        }
    }
}
