//! A panel in two vectors against up to four rows.

use super::{AXES, Panels, UNIT, row_len};
use crate::kernels::simd::{LANES_32, PairSums};

#[inline(always)]
pub fn products<S: PairSums>(s: S, panels: &Panels, x: &[i16], out: &mut [f32]) {
    let rows = panels.rows(x, out);
    for (place, panel) in panels.pairs().enumerate() {
        let mut i = 0;
        while i < rows {
            let at = (place, i);
            i += match rows - i {
                4.. => tile::<S, 4>(s, panels, panel, at, x, out),
                2.. => tile::<S, 2>(s, panels, panel, at, x, out),
                _ => tile::<S, 1>(s, panels, panel, at, x, out),
            };
        }
    }
}

/// Multiplies N rows from row `at.1` on with panel `at.0`, and returns N.
#[inline(always)]
fn tile<S: PairSums, const N: usize>(
    s: S,
    panels: &Panels,
    panel: &[i16],
    at: (usize, usize),
    x: &[i16],
    out: &mut [f32],
) -> usize {
    let (panel, _) = panel.as_chunks::<AXES>();
    let (panel, _) = panel.as_chunks::<2>();
    let length = row_len(panels.dim);
    let x: [&[[i16; 2]]; N] =
        std::array::from_fn(|i| &x[(at.1 + i) * length..][..length].as_chunks().0[..panel.len()]);
    let mut sums = [[s.no_pairs(); 2]; N];
    for (k, halves) in panel.iter().enumerate() {
        let axes = [s.load_i16(&halves[0]), s.load_i16(&halves[1])];
        for i in 0..N {
            let [first, second] = x[i][k].map(|value| u32::from(value as u16));
            let x = s.words_u8([first | second << 16; LANES_32]);
            for half in 0..2 {
                sums[i][half] = s.add_pairs(sums[i][half], axes[half], x);
            }
        }
    }
    let from = at.0 * AXES;
    let width = AXES.min(panels.axes - from);
    for (i, sums) in sums.into_iter().enumerate() {
        let mut found = [0f32; AXES];
        for (sums, to) in sums.into_iter().zip(found.as_chunks_mut().0) {
            s.store(s.mul(s.to_f32(s.pair_sums(sums)), s.splat(UNIT)), to);
        }
        out[(at.1 + i) * panels.axes + from..][..width].copy_from_slice(&found[..width]);
    }
    N
}
