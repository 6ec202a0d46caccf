//! Two panels, a vector each, against up to eight rows.

use super::{AXES, Panels, UNIT, row_len};
use crate::isa::Avx512;

/// Panels that are multiplied together.
const TOGETHER: usize = 2;

#[inline(always)]
pub fn products(s: Avx512, panels: &Panels, x: &[i16], out: &mut [f32]) {
    let rows = panels.rows(x, out);
    let size = AXES * row_len(panels.dim);
    for (place, some) in panels.values.chunks(TOGETHER * size).enumerate() {
        let mut i = 0;
        while i < rows {
            let at = (place * TOGETHER, i);
            i += if some.len() > size {
                some_rows::<TOGETHER>(s, panels, some, at, x, out)
            } else {
                some_rows::<1>(s, panels, some, at, x, out)
            };
        }
    }
}

/// Multiplies as many rows as a tile takes, and returns their number.
#[inline(always)]
fn some_rows<const C: usize>(
    s: Avx512,
    panels: &Panels,
    some: &[i16],
    at: (usize, usize),
    x: &[i16],
    out: &mut [f32],
) -> usize {
    match x.len() / row_len(panels.dim) - at.1 {
        8.. => tile::<8, C>(s, panels, some, at, x, out),
        4.. => tile::<4, C>(s, panels, some, at, x, out),
        2.. => tile::<2, C>(s, panels, some, at, x, out),
        _ => tile::<1, C>(s, panels, some, at, x, out),
    }
}

/// Multiplies N rows from row `at.1` on with C panels from panel `at.0` on, and returns N.
#[inline(always)]
fn tile<const N: usize, const C: usize>(
    s: Avx512,
    panels: &Panels,
    some: &[i16],
    at: (usize, usize),
    x: &[i16],
    out: &mut [f32],
) -> usize {
    let length = row_len(panels.dim);
    let pairs = length / 2;
    let (some, _) = some.as_chunks::<{ 2 * AXES }>();
    let some: [&[[i16; 2 * AXES]]; C] = std::array::from_fn(|c| &some[c * pairs..][..pairs]);
    let x: [&[[i16; 2]]; N] =
        std::array::from_fn(|i| &x[(at.1 + i) * length..][..length].as_chunks().0[..pairs]);
    let mut sums = [[s.zero(); C]; N];
    for k in 0..pairs {
        let axes: [_; C] = std::array::from_fn(|c| s.load_i16(&some[c][k]));
        for i in 0..N {
            let [first, second] = x[i][k].map(|value| u32::from(value as u16));
            let x = s.splat_i32((first | second << 16) as i32);
            for c in 0..C {
                sums[i][c] = s.dot_i16(sums[i][c], axes[c], x);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (c, sums) in sums.into_iter().enumerate() {
            let from = (at.0 + c) * AXES;
            let width = AXES.min(panels.axes - from);
            let to = &mut out[(at.1 + i) * panels.axes + from..][..width];
            let found = s.mul(s.to_f32(sums), s.splat(UNIT));
            match to.as_chunks_mut().0 {
                [to] => s.store(found, to),
                _ => s.store_part(found, to),
            }
        }
    }
    N
}
