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
    match runs {
        None => first(s, x, Times(Here, factors)),
        Some(runs) => first(s, x, Times(There::new(runs), factors)),
    }
    rest(s, x, None);
}

#[inline(always)]
pub fn backward<S: Simd>(s: S, runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    // One pass has no last pass besides the first.
    if x.len() < 2 * SMALLEST {
        return scalar::backward(runs, factors, x);
    }
    check(runs, factors, x);
    let (x, _) = x.as_chunks_mut::<WIDTH>();
    let (factors, _) = factors.as_chunks::<WIDTH>();
    match runs {
        None => first(s, x, Here),
        Some(runs) => first(s, x, There::new(runs)),
    }
    rest(s, x, Some(factors));
}

/// What the first pass reads as register i.
trait Source<S: Simd>: Copy {
    fn register(self, s: S, x: &[Register], i: usize) -> S::F;
}

/// Register i of the window itself.
#[derive(Clone, Copy)]
struct Here;

impl<S: Simd> Source<S> for Here {
    #[inline(always)]
    fn register(self, s: S, x: &[Register], i: usize) -> S::F {
        s.load(&x[i])
    }
}

/// A run from elsewhere.
#[derive(Clone, Copy)]
struct There<'a> {
    values: &'a [Register],
    order: &'a [u32],
}

impl<'a> There<'a> {
    #[inline(always)]
    fn new(runs: Runs<'a>) -> Self {
        Self {
            values: runs.values.as_chunks::<RUN>().0,
            order: runs.order,
        }
    }
}

impl<S: Simd> Source<S> for There<'_> {
    #[inline(always)]
    fn register(self, s: S, _x: &[Register], i: usize) -> S::F {
        s.load(&self.values[self.order[i] as usize])
    }
}

/// A source times the factors.
#[derive(Clone, Copy)]
struct Times<'a, T>(T, &'a [Register]);

impl<S: Simd, T: Source<S>> Source<S> for Times<'_, T> {
    #[inline(always)]
    fn register(self, s: S, x: &[Register], i: usize) -> S::F {
        s.mul(self.0.register(s, x, i), s.load(&self.1[i]))
    }
}

/// Strides 1 to 32, eight registers at a time.
#[inline(always)]
fn first<S: Simd>(s: S, x: &mut [Register], source: impl Source<S>) {
    let signs = [
        s.load(&[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
        s.load(&[1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0]),
        s.load(&[1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]),
    ];
    for from in (0..x.len()).step_by(8) {
        let mut v = [s.splat(0.0); 8];
        for (i, value) in v.iter_mut().enumerate() {
            *value = source.register(s, x, from + i);
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

/// The strides from 64 on, in as few passes as eight registers allow; the last multiplies by the factors, if there are any.
#[inline(always)]
fn rest<S: Simd>(s: S, x: &mut [Register], factors: Option<&[Register]>) {
    let mut stride = 8;
    while stride < x.len() {
        match (x.len() / stride, factors) {
            (2, Some(factors)) => last::<S, 2>(s, x, stride, factors),
            (4, Some(factors)) => last::<S, 4>(s, x, stride, factors),
            (8, Some(factors)) => last::<S, 8>(s, x, stride, factors),
            (2, None) => pass::<S, 2>(s, x, stride),
            (4, None) => pass::<S, 4>(s, x, stride),
            _ => pass::<S, 8>(s, x, stride),
        }
        stride *= 8;
    }
}

/// log₂ M strides from `stride` registers on.
#[inline(always)]
fn pass<S: Simd, const M: usize>(s: S, x: &mut [Register], stride: usize) {
    for piece in x.chunks_exact_mut(M * stride) {
        for j in 0..stride {
            let v = column::<S, M>(s, piece, stride, j);
            for (i, value) in v.into_iter().enumerate() {
                s.store(value, &mut piece[j + i * stride]);
            }
        }
    }
}

/// [`pass`] over all that is left, times the factors.
#[inline(always)]
fn last<S: Simd, const M: usize>(s: S, x: &mut [Register], stride: usize, factors: &[Register]) {
    for j in 0..stride {
        let v = column::<S, M>(s, x, stride, j);
        for (i, value) in v.into_iter().enumerate() {
            let place = j + i * stride;
            s.store(s.mul(value, s.load(&factors[place])), &mut x[place]);
        }
    }
}

/// M registers `stride` apart, after their butterflies.
#[inline(always)]
fn column<S: Simd, const M: usize>(s: S, x: &[Register], stride: usize, j: usize) -> [S::F; M] {
    let mut v = [s.splat(0.0); M];
    for (i, value) in v.iter_mut().enumerate() {
        *value = s.load(&x[j + i * stride]);
    }
    butterflies(s, &mut v);
    v
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
