//! Passes over eight vectors.

use super::{RUN, Runs, check, scalar};
use crate::kernels::simd::{LANES_32, Simd};

/// A vector in memory.
type Vector8 = [f32; LANES_32];

/// Shorter windows, in coordinates, are left to the definition: they have no whole block.
const MIN_COORDINATES: usize = 64;

#[inline(always)]
pub fn forward<S: Simd>(s: S, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    if x.len() < MIN_COORDINATES {
        return scalar::forward(runs, factors, x);
    }
    check(runs, factors, x);
    let (x, factors) = (blocks_mut(x), blocks(factors));
    match runs {
        None => first_pass(s, x, Scaled(InPlace, factors)),
        Some(runs) => first_pass(s, x, Scaled(Shuffled::new(runs), factors)),
    }
    later_passes(s, x, None);
}

#[inline(always)]
pub fn backward<S: Simd>(s: S, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    // The factors belong to the last pass, so a window of one pass is left to the definition.
    if x.len() < 2 * MIN_COORDINATES {
        return scalar::backward(runs, factors, x);
    }
    check(runs, factors, x);
    let (x, factors) = (blocks_mut(x), blocks(factors));
    match runs {
        None => first_pass(s, x, InPlace),
        Some(runs) => first_pass(s, x, Shuffled::new(runs)),
    }
    later_passes(s, x, Some(factors));
}

fn blocks(x: &[f32]) -> &[Block] {
    x.as_chunks::<LANES_32>().0.as_chunks().0
}

fn blocks_mut(x: &mut [f32]) -> &mut [Block] {
    x.as_chunks_mut::<LANES_32>().0.as_chunks_mut().0
}

/// Eight vectors that go through a pass together. Slices of whole blocks need one bounds check
/// where single vectors would need eight.
type Block = [Vector8; 8];

/// Where the first pass reads block b from; `x` is the block of the window itself.
trait Source<S: Simd>: Copy {
    fn block(self, s: S, x: &Block, b: usize) -> [S::F32x8; 8];
}

/// Reads the window itself.
#[derive(Clone, Copy)]
struct InPlace;

impl<S: Simd> Source<S> for InPlace {
    #[inline(always)]
    fn block(self, s: S, x: &Block, _b: usize) -> [S::F32x8; 8] {
        let mut v = [s.splat(0.0); 8];
        for (value, x) in v.iter_mut().zip(x) {
            *value = s.load(x);
        }
        v
    }
}

/// Reads the runs of [`Runs`].
#[derive(Clone, Copy)]
struct Shuffled<'a> {
    values: &'a [Vector8],
    order: &'a [[u32; 8]],
}

impl<'a> Shuffled<'a> {
    #[inline(always)]
    fn new(runs: Runs<'a>) -> Self {
        Self {
            values: runs.values.as_chunks::<RUN>().0,
            order: runs.order.as_chunks().0,
        }
    }
}

impl<S: Simd> Source<S> for Shuffled<'_> {
    #[inline(always)]
    fn block(self, s: S, _x: &Block, b: usize) -> [S::F32x8; 8] {
        let mut v = [s.splat(0.0); 8];
        for (value, &run) in v.iter_mut().zip(&self.order[b]) {
            *value = s.load(&self.values[run as usize]);
        }
        v
    }
}

/// Multiplies another source by the factors.
#[derive(Clone, Copy)]
struct Scaled<'a, T>(T, &'a [Block]);

impl<S: Simd, T: Source<S>> Source<S> for Scaled<'_, T> {
    #[inline(always)]
    fn block(self, s: S, x: &Block, b: usize) -> [S::F32x8; 8] {
        let mut v = self.0.block(s, x, b);
        for (value, factor) in v.iter_mut().zip(&self.1[b]) {
            *value = s.mul(*value, s.load(factor));
        }
        v
    }
}

/// Butterflies at strides 1 to 32, block by block.
///
/// A stride within a vector is a shuffle and a product by ±1, which is exact. Stride 1:
///
/// ```text
/// v:                     a0      a1      a2      a3    | …
/// shuffle_xor1(v):       a1      a0      a3      a2    | …
/// fma(v, ±1, shuffled):  a0 + a1 a0 − a1 a2 + a3 a2 − a3 | …
/// ```
#[inline(always)]
fn first_pass<S: Simd>(s: S, x: &mut [Block], source: impl Source<S>) {
    let signs = [
        s.load(&[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
        s.load(&[1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0]),
        s.load(&[1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]),
    ];
    for (b, x) in x.iter_mut().enumerate() {
        let mut v = source.block(s, x, b);
        for value in &mut v {
            *value = s.fma(*value, signs[0], s.shuffle_xor1(*value));
            *value = s.fma(*value, signs[1], s.shuffle_xor2(*value));
            *value = s.fma(*value, signs[2], s.shuffle_xor4(*value));
        }
        butterflies(s, &mut v);
        for (to, value) in x.iter_mut().zip(v) {
            s.store(value, to);
        }
    }
}

/// Butterflies at strides from 64 on, three strides per pass; the last pass multiplies by the
/// factors, if there are any.
#[inline(always)]
fn later_passes<S: Simd>(s: S, x: &mut [Block], factors: Option<&[Block]>) {
    let mut stride = 1;
    while stride < x.len() {
        match x.len() / stride {
            2 => pass::<S, 2>(s, x, stride, factors),
            4 => pass::<S, 4>(s, x, stride, factors),
            8 => pass::<S, 8>(s, x, stride, factors),
            _ => pass::<S, 8>(s, x, stride, None),
        }
        stride *= 8;
    }
}

/// One pass: butterflies at the log₂ M strides from `stride` blocks on, then the factors.
#[inline(always)]
fn pass<S: Simd, const M: usize>(s: S, x: &mut [Block], stride: usize, factors: Option<&[Block]>) {
    for (p, piece) in x.chunks_exact_mut(M * stride).enumerate() {
        for b in 0..stride {
            for j in 0..8 {
                let mut v = [s.splat(0.0); M];
                for (i, value) in v.iter_mut().enumerate() {
                    *value = s.load(&piece[b + i * stride][j]);
                }
                butterflies(s, &mut v);
                for (i, value) in v.into_iter().enumerate() {
                    let place = b + i * stride;
                    let value = match factors {
                        Some(factors) => s.mul(value, s.load(&factors[p * M * stride + place][j])),
                        None => value,
                    };
                    s.store(value, &mut piece[place][j]);
                }
            }
        }
    }
}

/// Butterflies (a, b) → (a + b, a − b) between vectors at distances 1, 2, 4, …, M/2.
#[inline(always)]
fn butterflies<S: Simd, const M: usize>(s: S, v: &mut [S::F32x8; M]) {
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
