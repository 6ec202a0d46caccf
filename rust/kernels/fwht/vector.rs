//! Passes over eight registers.

use super::{RUN, Runs, check, scalar};
use crate::kernels::simd::{Simd, WIDTH};

/// A register in memory.
type Register = [f32; WIDTH];

/// Below this a window is left to the definition.
const SMALLEST: usize = 64;

#[inline(always)]
pub fn forward<S: Simd>(s: S, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    if x.len() < SMALLEST {
        return scalar::forward(runs, factors, x);
    }
    check(runs, factors, x);
    let (x, _) = x.as_chunks_mut::<WIDTH>();
    let (factors, _) = factors.as_chunks::<WIDTH>();
    let scaled = |v: &Register, i: usize| s.mul(s.load(v), s.load(&factors[i]));
    match runs {
        None => first(s, x, |x, i| scaled(&x[i], i)),
        Some(Runs { values, order }) => {
            let (values, _) = values.as_chunks::<RUN>();
            first(s, x, |_, i| scaled(&values[order[i] as usize], i));
        }
    }
    rest(s, x, |v, _| v);
}

#[inline(always)]
pub fn backward<S: Simd>(s: S, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    if x.len() < 2 * SMALLEST {
        return scalar::backward(runs, factors, x);
    }
    check(runs, factors, x);
    let (x, _) = x.as_chunks_mut::<WIDTH>();
    let (factors, _) = factors.as_chunks::<WIDTH>();
    match runs {
        None => first(s, x, |x, i| s.load(&x[i])),
        Some(Runs { values, order }) => {
            let (values, _) = values.as_chunks::<RUN>();
            first(s, x, |_, i| s.load(&values[order[i] as usize]));
        }
    }
    rest(s, x, |v, i| s.mul(v, s.load(&factors[i])));
}

/// Strides 1 to 32, eight registers at a time as `read` gives them.
#[inline(always)]
fn first<S: Simd>(s: S, x: &mut [Register], read: impl Fn(&[Register], usize) -> S::F) {
    let signs = [
        [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0],
        [1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0],
        [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0],
    ]
    .map(|signs| s.load(&signs));
    for from in (0..x.len()).step_by(8) {
        let mut v = [s.splat(0.0); 8];
        for (i, value) in v.iter_mut().enumerate() {
            *value = read(x, from + i);
        }
        for value in &mut v {
            *value = s.fma(*value, signs[0], s.swap1(*value));
            *value = s.fma(*value, signs[1], s.swap2(*value));
            *value = s.fma(*value, signs[2], s.swap4(*value));
        }
        butterflies(s, &mut v);
        for (to, value) in x[from..from + 8].iter_mut().zip(v) {
            s.store(value, to);
        }
    }
}

/// The strides from 64 on, in as few passes as eight registers allow; `finish` sees each register of the last.
#[inline(always)]
fn rest<S: Simd>(s: S, x: &mut [Register], finish: impl Fn(S::F, usize) -> S::F) {
    let mut stride = 8;
    while stride < x.len() {
        match x.len() / stride {
            2 => pass::<S, 2>(s, x, stride, &finish),
            4 => pass::<S, 4>(s, x, stride, &finish),
            8 => pass::<S, 8>(s, x, stride, &finish),
            _ => pass::<S, 8>(s, x, stride, &|v, _| v),
        }
        stride *= 8;
    }
}

/// log₂ M strides from `stride` registers on.
#[inline(always)]
fn pass<S: Simd, const M: usize>(
    s: S,
    x: &mut [Register],
    stride: usize,
    finish: &impl Fn(S::F, usize) -> S::F,
) {
    for (b, piece) in x.chunks_exact_mut(M * stride).enumerate() {
        for j in 0..stride {
            let mut v = [s.splat(0.0); M];
            for (i, value) in v.iter_mut().enumerate() {
                *value = s.load(&piece[j + i * stride]);
            }
            butterflies(s, &mut v);
            for (i, value) in v.into_iter().enumerate() {
                let at = j + i * stride;
                s.store(finish(value, b * M * stride + at), &mut piece[at]);
            }
        }
    }
}

/// (a, b) → (a + b, a − b) at register distances 1, 2, 4, … below M.
#[inline(always)]
fn butterflies<S: Simd, const M: usize>(s: S, v: &mut [S::F; M]) {
    let mut distance = 1;
    while distance < M {
        for i in 0..M {
            if i & distance == 0 {
                let (a, b) = (v[i], v[i + distance]);
                v[i] = s.add(a, b);
                v[i + distance] = s.sub(a, b);
            }
        }
        distance *= 2;
    }
}
