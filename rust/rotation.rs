//! Seeded random rotations z = R x.
//!
//! **`haar`**: R uniform on the orthogonal group, as the product of d − 1 Householder reflections of Gaussian vectors of lengths d, d − 1, …, 2
//! and a random sign (Stewart 1980): the law of Q in the QR decomposition of a Gaussian matrix with the signs of R's diagonal made
//! positive, at half its cost. Computed in float64, kept in float32. d² entries, d² products a row.
//!
//! **`hadamard`** (default): three rounds, each
//!
//! 1. a fixed shuffle of the coordinates in runs of 8 (from the second round on): run i ← run i·s mod r, where r = ⌊d/8⌋ and s is the first
//!    number from 0.618·r on that is coprime to r; it spreads the runs of every window evenly over all windows;
//! 2. for each window of n = 2^k coordinates in turn: seeded signs over √n, the Walsh–Hadamard transform ([`fwht`]).
//!
//! The windows start at 0, n, 2n, …, the last at d − n, so they cover every d with no padding; where two overlap the later one
//! has fresh signs. n is the largest power of two ≤ d, or its half where that makes the windows cover less in all (1536 is 3 × 512).
//! Every step is orthogonal, hence R is; R⁻¹ = Rᵀ runs the steps backwards. Cost O(d log d).
//!
//! With few or short windows three rounds do not mix enough (d = 8 on one-hot rows: 67 % more error than Haar; three windows of 64: 1 to 2 %), so for
//! n < 128, that is d ≤ 127 and 129…192, `hadamard` *is* the dense Haar matrix: at these sizes d² products cost no more than a few transforms.
//! The resulting quality, within 1 % of Haar on eight families of rows, is tested in `tests/python/test_theory.py`.
//!
//! FROZEN: the same seed gives the same rotation, for ever.

use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::dense;
use crate::kernels::fwht::{self, RUN, Runs};
use crate::rng::SeedStream;
use crate::threads;

const LABEL_HAAR: u64 = 1;
const LABEL_SIGNS: u64 = 2;
const ROUNDS: usize = 3;
const SMALLEST_WINDOW: usize = 128;
/// Reflections from one look at whether to stop to the next.
const TOGETHER: usize = 64;

/// Which family of random rotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationKind {
    /// Dense and uniform: the reference.
    Haar,
    /// Structured, O(d log d): the default.
    Hadamard,
}

impl RotationKind {
    /// `haar` or `hadamard`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "haar" => Ok(Self::Haar),
            "hadamard" => Ok(Self::Hadamard),
            _ => Err(Error::invalid(format!(
                "unknown rotation {name:?}, expected \"hadamard\" or \"haar\""
            ))),
        }
    }

    /// The name that [`RotationKind::from_name`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Haar => "haar",
            Self::Hadamard => "hadamard",
        }
    }
}

/// A random orthogonal matrix, fixed by a kind, a dimension and a seed.
#[derive(Debug, Clone)]
pub struct Rotation {
    dim: usize,
    kind: RotationKind,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Dense(Vec<f32>),
    Windows(Windows),
}

#[derive(Debug, Clone)]
struct Windows {
    size: usize,
    starts: Vec<usize>,
    /// ±1/√n for each coordinate of each window of each round.
    factors: Vec<f32>,
    /// Run `order[i]` goes to run i in the shuffle, and back by `inverse`; empty with one window, where there is none.
    order: Vec<u32>,
    inverse: Vec<u32>,
}

impl Rotation {
    /// The rotation of `dim` coordinates that `seed` names.
    pub fn new(kind: RotationKind, dim: usize, seed: u64) -> Result<Self> {
        if dim == 0 {
            return Err(Error::invalid("dim is 0, expected at least 1"));
        }
        let (size, starts) = windows(dim);
        let body = if kind == RotationKind::Haar || size < SMALLEST_WINDOW {
            Body::Dense(haar(dim, seed))
        } else {
            Body::Windows(Windows::new(dim, size, starts, seed))
        };
        Ok(Self { dim, kind, body })
    }

    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The kind asked for.
    pub fn kind(&self) -> RotationKind {
        self.kind
    }

    /// How many vectors [`Rotation::apply`] should be given at once: a dense matrix is read once for all of them.
    pub fn batch(&self) -> usize {
        match self.body {
            Body::Dense(_) => dense::BATCH,
            Body::Windows(_) => 1,
        }
    }

    /// x ← R x for each vector of x; `scratch` is resized as needed.
    pub fn apply(&self, isa: Isa, x: &mut [f32], scratch: &mut Vec<f32>) {
        self.check(x);
        scratch.resize(x.len(), 0.0);
        match &self.body {
            Body::Dense(matrix) => {
                scratch.copy_from_slice(x);
                dense::products(isa, matrix, self.dim, scratch, x);
            }
            Body::Windows(windows) => {
                for x in x.chunks_exact_mut(self.dim) {
                    windows.forward(isa, x, &mut scratch[..self.dim]);
                }
            }
        }
    }

    /// x ← Rᵀ x for each vector of x.
    pub fn apply_inverse(&self, isa: Isa, x: &mut [f32], scratch: &mut Vec<f32>) {
        self.check(x);
        scratch.resize(x.len(), 0.0);
        match &self.body {
            Body::Dense(matrix) => {
                scratch.copy_from_slice(x);
                dense::transposed_products(isa, matrix, self.dim, scratch, x);
            }
            Body::Windows(windows) => {
                for x in x.chunks_exact_mut(self.dim) {
                    windows.backward(isa, x, &mut scratch[..self.dim]);
                }
            }
        }
    }

    fn check(&self, x: &[f32]) {
        assert!(x.len().is_multiple_of(self.dim), "whole vectors");
    }
}

/// Each fused round after the first swaps row and scratch: the result is in the row again after an even number of them.
const _: () = assert!(ROUNDS % 2 == 1);

impl Windows {
    fn new(dim: usize, size: usize, starts: Vec<usize>, seed: u64) -> Self {
        let scale = (1.0 / (size as f64).sqrt()) as f32;
        let signs = SeedStream::new(seed, LABEL_SIGNS).signs(ROUNDS * starts.len() * size);
        let runs = if starts.len() > 1 { dim / RUN } else { 0 };
        let stride = coprime_stride(dim / RUN);
        let order: Vec<u32> = (0..runs).map(|i| (i * stride % runs) as u32).collect();
        let mut inverse = vec![0; runs];
        for (i, &from) in (0..).zip(&order) {
            inverse[from as usize] = i;
        }
        Self {
            size,
            starts,
            factors: signs.iter().map(|sign| sign * scale).collect(),
            order,
            inverse,
        }
    }

    /// The start and the factors of each window of a round.
    fn round(&self, round: usize) -> impl DoubleEndedIterator<Item = (usize, &[f32])> {
        let length = self.starts.len() * self.size;
        let factors = &self.factors[round * length..][..length];
        self.starts
            .iter()
            .copied()
            .zip(factors.chunks_exact(self.size))
    }

    /// Whether windows are whole runs side by side, so that a shuffle can be left to the transform that reads its result.
    fn tiles(&self, dim: usize) -> bool {
        self.starts.len() * self.size == dim && !self.order.is_empty()
    }

    /// The runs that `order` brings to the window at `start`.
    fn runs<'a>(&self, values: &'a [f32], order: &'a [u32], start: usize) -> Runs<'a> {
        let order = &order[start / RUN..][..self.size / RUN];
        Runs { values, order }
    }

    fn forward(&self, isa: Isa, x: &mut [f32], scratch: &mut [f32]) {
        let tiles = self.tiles(x.len());
        let (mut x, mut other) = (x, scratch);
        for round in 0..ROUNDS {
            let fused = round > 0 && tiles;
            if fused {
                std::mem::swap(&mut x, &mut other);
            } else if round > 0 {
                shuffle(&self.order, x, other);
            }
            for (start, factors) in self.round(round) {
                let runs = fused.then(|| self.runs(other, &self.order, start));
                fwht::forward(isa, runs, factors, &mut x[start..start + self.size]);
            }
        }
    }

    fn backward(&self, isa: Isa, x: &mut [f32], scratch: &mut [f32]) {
        let tiles = self.tiles(x.len());
        let (mut x, mut other) = (x, scratch);
        for round in (0..ROUNDS).rev() {
            let fused = round + 1 < ROUNDS && tiles;
            if fused {
                std::mem::swap(&mut x, &mut other);
            }
            for (start, factors) in self.round(round).rev() {
                let runs = fused.then(|| self.runs(other, &self.inverse, start));
                fwht::backward(isa, runs, factors, &mut x[start..start + self.size]);
            }
            if round > 0 && !tiles {
                shuffle(&self.inverse, x, other);
            }
        }
    }
}

/// Run i of `x` ← run `order[i]`; a rest of less than a run stays.
fn shuffle(order: &[u32], x: &mut [f32], scratch: &mut [f32]) {
    if order.is_empty() {
        return;
    }
    scratch.copy_from_slice(x);
    for (run, &from) in x.chunks_exact_mut(RUN).zip(order) {
        run.copy_from_slice(&scratch[from as usize * RUN..][..RUN]);
    }
}

/// The window size and the start of each window.
fn windows(dim: usize) -> (usize, Vec<usize>) {
    let cover = |size: usize| dim.div_ceil(size) * size;
    let mut size = 1 << dim.ilog2();
    if size > 1 && cover(size / 2) < cover(size) {
        size /= 2;
    }
    let starts = (0..dim.div_ceil(size))
        .map(|w| (w * size).min(dim - size))
        .collect();
    (size, starts)
}

/// The first number from 0.618·n on that is coprime to n.
fn coprime_stride(n: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // The search ends at n + 1 at the latest.
    let mut stride = (n * 618 / 1000).max(1);
    while gcd(stride, n) != 1 {
        stride += 1;
    }
    stride
}

/// Row-major Haar matrix: row i is eᵢ through all reflections, so rows are independent of each other and of the threads.
fn haar(dim: usize, seed: u64) -> Vec<f32> {
    let mut stream = SeedStream::new(seed, LABEL_HAAR);
    let mut reflections = Vec::with_capacity(dim);
    for length in (2..=dim).rev() {
        threads::check();
        let mut v: Vec<f64> = (0..length).map(|_| stream.gaussian()).collect();
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        // The reflection that sends e₁ to ∓v/‖v‖, with the sign that avoids cancellation; `sign` undoes it.
        let sign = if v[0] < 0.0 { -1.0 } else { 1.0 };
        v[0] += sign * norm;
        let factor = 2.0 / v.iter().map(|a| a * a).sum::<f64>();
        reflections.push((v, factor, -sign));
    }
    let last = if stream.gaussian() < 0.0 { -1.0 } else { 1.0 };
    let mut matrix = vec![0f32; dim * dim];
    let row = || vec![0f64; dim];
    threads::for_each(matrix.chunks_mut(dim), row, |row, i, out| {
        row.fill(0.0);
        row[i] = 1.0;
        for some in reflections.chunks(TOGETHER) {
            threads::check();
            for (v, factor, sign) in some {
                let from = dim - v.len();
                let tail = &mut row[from..];
                let step = factor * lanes_dot(tail, v);
                for (a, b) in tail.iter_mut().zip(v) {
                    *a -= step * b;
                }
                tail[0] *= sign;
            }
        }
        row[dim - 1] *= last;
        for (a, b) in out.iter_mut().zip(&*row) {
            *a = *b as f32;
        }
    });
    matrix
}

/// Σ aᵢbᵢ in eight lanes of a fixed order, so that it vectorises without changing a bit.
fn lanes_dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = [0f64; 8];
    for (x, y) in a.chunks(8).zip(b.chunks(8)) {
        for ((lane, p), q) in sum.iter_mut().zip(x).zip(y) {
            *lane += p * q;
        }
    }
    ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]))
}
