//! Passes over up to sixteen vectors of 512 bits.

use std::arch::x86_64::__m512;

use super::{RUN, Runs, check, vector};
use crate::isa::Avx512;

/// A vector in memory.
type Vector16 = [f32; 16];

/// The factors ±1 of the butterflies at strides 1, 2, 4 and 8, which are within a vector.
const SIGNS: [Vector16; 4] = {
    let mut signs = [[1.0; 16]; 4];
    let mut i = 0;
    while i < 64 {
        if (i % 16) & (1 << (i / 16)) != 0 {
            signs[i / 16][i % 16] = -1.0;
        }
        i += 1;
    }
    signs
};

/// Shorter windows, in coordinates, are left to the body of 256 bits.
const MIN_COORDINATES: usize = 128;

#[inline(always)]
pub fn forward(s: Avx512, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    if x.len() < MIN_COORDINATES {
        return vector::forward(s.avx2(), runs, factors, x);
    }
    check(runs, factors, x);
    let (x, factors) = (x.as_chunks_mut().0, factors.as_chunks().0);
    match runs {
        None => transform(s, x, Scaled(InPlace, factors), Kept),
        Some(runs) => transform(s, x, Scaled(Shuffled::new(runs), factors), Kept),
    }
}

#[inline(always)]
pub fn backward(s: Avx512, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    if x.len() < MIN_COORDINATES {
        return vector::backward(s.avx2(), runs, factors, x);
    }
    check(runs, factors, x);
    let (x, factors) = (x.as_chunks_mut().0, factors.as_chunks().0);
    match runs {
        None => transform(s, x, InPlace, Multiplied(factors)),
        Some(runs) => transform(s, x, Shuffled::new(runs), Multiplied(factors)),
    }
}

/// Where the first pass reads block b of M vectors from; `x` is this block of the window itself.
trait Source: Copy {
    fn read<const M: usize>(self, s: Avx512, x: &[Vector16; M], b: usize, v: &mut [__m512; M]);
}

/// Reads the window itself.
#[derive(Clone, Copy)]
struct InPlace;

impl Source for InPlace {
    #[inline(always)]
    fn read<const M: usize>(self, s: Avx512, x: &[Vector16; M], _b: usize, v: &mut [__m512; M]) {
        for (value, x) in v.iter_mut().zip(x) {
            *value = s.load(x);
        }
    }
}

/// Reads the runs of [`Runs`], two to a vector.
#[derive(Clone, Copy)]
struct Shuffled<'a> {
    values: &'a [[f32; RUN]],
    order: &'a [[u32; 2]],
}

impl<'a> Shuffled<'a> {
    #[inline(always)]
    fn new(runs: Runs<'a>) -> Self {
        Self {
            values: runs.values.as_chunks().0,
            order: runs.order.as_chunks().0,
        }
    }
}

impl Source for Shuffled<'_> {
    #[inline(always)]
    fn read<const M: usize>(self, s: Avx512, _x: &[Vector16; M], b: usize, v: &mut [__m512; M]) {
        let order: &[[u32; 2]; M] = &self.order.as_chunks().0[b];
        for (value, &[low, high]) in v.iter_mut().zip(order) {
            *value = s.load_halves([&self.values[low as usize], &self.values[high as usize]]);
        }
    }
}

/// Multiplies another source by the factors.
#[derive(Clone, Copy)]
struct Scaled<'a, T>(T, &'a [Vector16]);

impl<T: Source> Source for Scaled<'_, T> {
    #[inline(always)]
    fn read<const M: usize>(self, s: Avx512, x: &[Vector16; M], b: usize, v: &mut [__m512; M]) {
        self.0.read(s, x, b, v);
        let factors: &[Vector16; M] = &self.1.as_chunks().0[b];
        for (value, factor) in v.iter_mut().zip(factors) {
            *value = s.mul(*value, s.load(factor));
        }
    }
}

/// What the last pass does with vector i of the window.
trait Finish: Copy {
    fn finish(self, s: Avx512, v: __m512, i: usize) -> __m512;
}

/// Keeps it.
#[derive(Clone, Copy)]
struct Kept;

impl Finish for Kept {
    #[inline(always)]
    fn finish(self, _s: Avx512, v: __m512, _i: usize) -> __m512 {
        v
    }
}

/// Multiplies it by its factors.
#[derive(Clone, Copy)]
struct Multiplied<'a>(&'a [Vector16]);

impl Finish for Multiplied<'_> {
    #[inline(always)]
    fn finish(self, s: Avx512, v: __m512, i: usize) -> __m512 {
        s.mul(v, s.load(&self.0[i]))
    }
}

/// All strides: windows of 128 and 256 coordinates are one pass. In longer ones every second block
/// of 256 goes on with the stride of 256.
#[inline(always)]
fn transform(s: Avx512, x: &mut [Vector16], from: impl Source, to: impl Finish) {
    match x.len() {
        8 => single::<8>(s, x, from, to),
        16 => single::<16>(s, x, from, to),
        32 => pairs(s, x, from, to),
        _ => {
            pairs(s, x, from, Kept);
            later_passes(s, x, to);
        }
    }
}

/// All strides of a window of M vectors.
#[inline(always)]
fn single<const M: usize>(s: Avx512, x: &mut [Vector16], from: impl Source, to: impl Finish) {
    let mut v = [s.splat(0.0); M];
    for x in x.as_chunks_mut::<M>().0 {
        from.read(s, x, 0, &mut v);
        first_pass(s, &mut v);
        for (i, (x, v)) in x.iter_mut().zip(v).enumerate() {
            s.store(to.finish(s, v, i), x);
        }
    }
}

/// The strides up to 256.
#[inline(always)]
fn pairs(s: Avx512, x: &mut [Vector16], from: impl Source, to: impl Finish) {
    let mut v = [s.splat(0.0); 16];
    for (b, [low, high]) in x
        .as_chunks_mut::<16>()
        .0
        .as_chunks_mut()
        .0
        .iter_mut()
        .enumerate()
    {
        from.read(s, low, 2 * b, &mut v);
        first_pass(s, &mut v);
        for (x, v) in low.iter_mut().zip(v) {
            s.store(v, x);
        }
        from.read(s, high, 2 * b + 1, &mut v);
        first_pass(s, &mut v);
        for (i, ((low, high), v)) in low.iter_mut().zip(high).zip(v).enumerate() {
            let a = s.load(low);
            s.store(to.finish(s, s.add(a, v), 32 * b + i), low);
            s.store(to.finish(s, s.sub(a, v), 32 * b + 16 + i), high);
        }
    }
}

/// Butterflies at strides 1 to 8·M. A stride within a vector is a shuffle and a product by ±1,
/// which is exact, as in the body of 256 bits.
#[inline(always)]
fn first_pass<const M: usize>(s: Avx512, v: &mut [__m512; M]) {
    for value in v.iter_mut() {
        let a = *value;
        let a = s.fma(a, s.load(&SIGNS[0]), s.shuffle_xor1(a));
        let a = s.fma(a, s.load(&SIGNS[1]), s.shuffle_xor2(a));
        let a = s.fma(a, s.load(&SIGNS[2]), s.shuffle_xor4(a));
        *value = s.fma(a, s.load(&SIGNS[3]), s.shuffle_xor8(a));
    }
    butterflies(s, v);
}

/// Butterflies at strides from 512 on, three strides per pass.
#[inline(always)]
fn later_passes(s: Avx512, x: &mut [Vector16], to: impl Finish) {
    let blocks = x.as_chunks_mut().0;
    let mut stride = 2;
    while stride < blocks.len() {
        match blocks.len() / stride {
            2 => pass::<2>(s, blocks, stride, to),
            4 => pass::<4>(s, blocks, stride, to),
            8 => pass::<8>(s, blocks, stride, to),
            _ => pass::<8>(s, blocks, stride, Kept),
        }
        stride *= 8;
    }
}

/// Sixteen vectors.
type Block = [Vector16; 16];

/// One pass: butterflies at the log₂ M strides from `stride` blocks on.
#[inline(always)]
fn pass<const M: usize>(s: Avx512, x: &mut [Block], stride: usize, to: impl Finish) {
    for (p, piece) in x.chunks_exact_mut(M * stride).enumerate() {
        for b in 0..stride {
            for j in 0..16 {
                let mut v = [s.splat(0.0); M];
                for (value, block) in v.iter_mut().zip(piece[b..].iter().step_by(stride)) {
                    *value = s.load(&block[j]);
                }
                butterflies(s, &mut v);
                let blocks = piece[b..].iter_mut().step_by(stride);
                for (i, (value, block)) in v.into_iter().zip(blocks).enumerate() {
                    let place = (p * M + i) * stride + b;
                    s.store(to.finish(s, value, 16 * place + j), &mut block[j]);
                }
            }
        }
    }
}

/// Butterflies (a, b) → (a + b, a − b) between vectors at distances 1, 2, 4, …, M/2.
#[inline(always)]
fn butterflies<const M: usize>(s: Avx512, v: &mut [__m512; M]) {
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
