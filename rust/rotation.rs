//! Seeded random rotations z = R x.
//!
//! A random rotation makes the coordinates of every row look alike: each has nearly the law of a
//! coordinate of a uniform point of the sphere, whatever the row. So one codebook serves all rows.
//!
//! **`haar`**: R is uniform on the orthogonal group. It is the product of d − 1 Householder
//! reflections of Gaussian vectors of lengths d, d − 1, …, 2 and a random sign (Stewart 1980). This
//! is the law of Q in the QR decomposition of a Gaussian matrix when the triangular factor gets a
//! positive diagonal, and it costs half as much. The matrix is computed in float64 and kept in
//! float32. It has d² entries, and a row costs d² products.
//!
//! **`hadamard`** (default): three rounds. Each round has two steps:
//!
//! 1. from the second round on, a fixed shuffle of the coordinates in runs of 8: run i ← run i·a
//!    mod r, where r = ⌊d/8⌋ and a is the first number from 0.618·r on that is coprime to r. The
//!    shuffle spreads the runs of every window evenly over all windows;
//! 2. for each window of n = 2^k coordinates in turn, seeded signs divided by √n and then the
//!    Walsh–Hadamard transform ([`fwht`]).
//!
//! The windows start at 0, n, 2n, …, and the last one starts at d − n, so they cover every d
//! without padding. Where two windows overlap, the later one has its own signs. n is the largest
//! power of two ≤ d, or half of it if the windows then cover fewer coordinates in total (d = 1536
//! has three windows of 512). Every step is orthogonal, so R is orthogonal, and R⁻¹ = Rᵀ makes the
//! steps in reverse. The cost is O(d log d).
//!
//! Three rounds do not mix enough if the windows are short or few: at d = 8 the error of one-hot
//! rows is 67 % above that of a Haar matrix, and with three windows of 64 it is 1 to 2 % above. So
//! for n < 128, that is for d ≤ 127 and 129 ≤ d ≤ 192, `hadamard` *is* the Haar matrix; at these
//! sizes d² products cost about as much as a few transforms. `tests/python/test_theory.py` tests
//! that the error is within 1 % of that of Haar on eight families of rows.
//!
//! More rounds of short windows are good enough: at d = 64, 80, 96 and 100 the error of four rounds
//! is within 0.9 % of that of Haar, and that of five rounds within 0.2 %. But R⁻¹, which decoding
//! applies, gains little from them. On AVX2 at d = 64 it takes 71 ns per row as a dense matrix that
//! multiplies 24 rows at a time, and the transforms of four rounds take 54 ns, those of five 69 ns.
//! R takes 178 ns per row there. Rounds would be faster, but change the frozen rotations
//! (`benches/head_rotation.py`, `benches/results/head_rotation.txt`).
//!
//! FROZEN: the same seed always gives the same rotation.

use crate::aligned::{Aligned, aligned_part};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::dense;
use crate::kernels::fwht::{self, RUN, Runs};
use crate::rng::SeedStream;
use crate::threads;

const LABEL_HAAR: u64 = 1;
const LABEL_SIGNS: u64 = 2;
const ROUNDS: usize = 3;
/// The least coordinates per window; shorter windows give way to the Haar matrix.
const MIN_WINDOW: usize = 128;
/// Reflections between two checks whether to stop.
const REFLECTIONS_PER_CHECK: usize = 64;

/// A family of random rotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationKind {
    /// A dense matrix, uniform on the orthogonal group: the reference.
    Haar,
    /// A structured matrix that costs O(d log d): the default.
    Hadamard,
}

impl RotationKind {
    /// The kind named `haar` or `hadamard`.
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

/// A random orthogonal matrix, determined by a kind, a dimension and a seed.
#[derive(Debug, Clone)]
pub struct Rotation {
    dim: usize,
    kind: RotationKind,
    form: Form,
}

/// How a rotation is stored.
#[derive(Debug, Clone)]
enum Form {
    /// d × d, row-major.
    Matrix(Vec<f32>),
    Windows(Windows),
}

/// The three rounds of windows.
#[derive(Debug, Clone)]
struct Windows {
    /// n, the coordinates per window.
    size: usize,
    /// The first coordinate of each window.
    starts: Vec<usize>,
    /// ±1/√n for each coordinate of each window of each round.
    factors: Aligned<f32>,
    /// The shuffle takes run `order[i]` to run i. Empty with one window, which needs no shuffle.
    order: Vec<u32>,
    /// The shuffle back takes run `inverse[i]` to run i.
    inverse: Vec<u32>,
}

impl Rotation {
    /// The rotation of `dim` coordinates with this seed.
    pub fn new(kind: RotationKind, dim: usize, seed: u64) -> Result<Self> {
        if dim == 0 {
            return Err(Error::invalid("dim is 0, expected at least 1"));
        }
        let (size, starts) = windows(dim);
        let form = if kind == RotationKind::Haar || size < MIN_WINDOW {
            Form::Matrix(haar(dim, seed))
        } else {
            Form::Windows(Windows::new(dim, size, starts, seed))
        };
        Ok(Self { dim, kind, form })
    }

    /// The number of coordinates d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The kind, as it was asked for.
    pub fn kind(&self) -> RotationKind {
        self.kind
    }

    /// How many vectors [`Rotation::apply`] should get per call. It reads a dense matrix once for
    /// all of them.
    pub fn batch(&self) -> usize {
        match self.form {
            Form::Matrix(_) => dense::VECTORS_PER_BATCH,
            Form::Windows(_) => 1,
        }
    }

    /// The steps of [`Rotation::apply`] per vector.
    pub fn steps(&self) -> usize {
        match &self.form {
            Form::Matrix(_) => 0,
            Form::Windows(windows) => ROUNDS * windows.starts.len(),
        }
    }

    /// x ← R x for each vector in `x`; `scratch` is resized as needed.
    pub fn apply(&self, isa: Isa, x: &mut [f32], scratch: &mut Vec<f32>) {
        self.apply_between(isa, x, scratch, || ());
    }

    /// [`apply`](Self::apply) that calls `between` before each of its [`steps`](Self::steps).
    pub fn apply_between(
        &self,
        isa: Isa,
        x: &mut [f32],
        scratch: &mut Vec<f32>,
        mut between: impl FnMut(),
    ) {
        self.check(x);
        let scratch = aligned_part(scratch, x.len());
        match &self.form {
            Form::Matrix(matrix) => {
                scratch.copy_from_slice(x);
                dense::products(isa, matrix, self.dim, scratch, x);
            }
            Form::Windows(windows) => {
                for x in x.chunks_exact_mut(self.dim) {
                    windows.forward(isa, x, &mut scratch[..self.dim], &mut between);
                }
            }
        }
    }

    /// x ← Rᵀ x for each vector in `x`; `scratch` is resized as needed.
    pub fn apply_inverse(&self, isa: Isa, x: &mut [f32], scratch: &mut Vec<f32>) {
        self.check(x);
        let scratch = aligned_part(scratch, x.len());
        match &self.form {
            Form::Matrix(matrix) => {
                scratch.copy_from_slice(x);
                dense::transposed_products(isa, matrix, self.dim, scratch, x);
            }
            Form::Windows(windows) => {
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

/// A fused round swaps row and scratch. All rounds but one are fused, so their number must be odd
/// for the result to be in the row.
const _: () = assert!(ROUNDS % 2 == 1);

impl Windows {
    fn new(dim: usize, size: usize, starts: Vec<usize>, seed: u64) -> Self {
        let scale = (1.0 / (size as f64).sqrt()) as f32;
        let signs = SeedStream::new(seed, LABEL_SIGNS).signs(ROUNDS * starts.len() * size);
        let factors: Vec<f32> = signs.iter().map(|sign| sign * scale).collect();
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
            factors: Aligned::from(&*factors),
            order,
            inverse,
        }
    }

    /// The start and the factors of each window of one round.
    fn round(&self, round: usize) -> impl DoubleEndedIterator<Item = (usize, &[f32])> {
        let length = self.starts.len() * self.size;
        let factors = &self.factors[round * length..][..length];
        self.starts
            .iter()
            .copied()
            .zip(factors.chunks_exact(self.size))
    }

    /// Whether the windows lie side by side and hold whole runs. Then the transform can shuffle as
    /// it reads, and a separate pass is not needed.
    fn can_fuse(&self, dim: usize) -> bool {
        self.starts.len() * self.size == dim && !self.order.is_empty()
    }

    /// The runs that `order` takes to the window at `start`.
    fn runs<'a>(&self, values: &'a [f32], order: &'a [u32], start: usize) -> Runs<'a> {
        let order = &order[start / RUN..][..self.size / RUN];
        Runs { values, order }
    }

    fn forward(&self, isa: Isa, x: &mut [f32], scratch: &mut [f32], mut between: impl FnMut()) {
        let can_fuse = self.can_fuse(x.len());
        let (mut x, mut other) = (x, scratch);
        for round in 0..ROUNDS {
            let fused = round > 0 && can_fuse;
            if fused {
                std::mem::swap(&mut x, &mut other);
            } else if round > 0 {
                shuffle(&self.order, x, other);
            }
            for (start, factors) in self.round(round) {
                let runs = fused.then(|| self.runs(other, &self.order, start));
                between();
                fwht::forward(isa, runs, factors, &mut x[start..start + self.size]);
            }
        }
    }

    fn backward(&self, isa: Isa, x: &mut [f32], scratch: &mut [f32]) {
        let can_fuse = self.can_fuse(x.len());
        let (mut x, mut other) = (x, scratch);
        for round in (0..ROUNDS).rev() {
            let fused = round + 1 < ROUNDS && can_fuse;
            if fused {
                std::mem::swap(&mut x, &mut other);
            }
            for (start, factors) in self.round(round).rev() {
                let runs = fused.then(|| self.runs(other, &self.inverse, start));
                fwht::backward(isa, runs, factors, &mut x[start..start + self.size]);
            }
            if round > 0 && !can_fuse {
                shuffle(&self.inverse, x, other);
            }
        }
    }
}

/// Run i of `x` ← run `order[i]`. Coordinates after the last whole run stay.
fn shuffle(order: &[u32], x: &mut [f32], scratch: &mut [f32]) {
    if order.is_empty() {
        return;
    }
    scratch.copy_from_slice(x);
    for (run, &from) in x.chunks_exact_mut(RUN).zip(order) {
        run.copy_from_slice(&scratch[from as usize * RUN..][..RUN]);
    }
}

/// The coordinates per window, and the first coordinate of each window.
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
    // The search ends at n + 1 at the latest, which is coprime to n.
    let mut stride = (n * 618 / 1000).max(1);
    while gcd(stride, n) != 1 {
        stride += 1;
    }
    stride
}

/// The Haar matrix, row-major. Row i is the unit vector eᵢ after all reflections, so threads
/// compute rows independently, and their number does not change a bit.
fn haar(dim: usize, seed: u64) -> Vec<f32> {
    let mut stream = SeedStream::new(seed, LABEL_HAAR);
    let mut reflections = Vec::with_capacity(dim);
    for length in (2..=dim).rev() {
        threads::check();
        let mut v: Vec<f64> = (0..length).map(|_| stream.gaussian()).collect();
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        // This reflection takes e₁ to −sign·v/‖v‖, because the other sign would cancel digits. The
        // factor −sign, applied after it, undoes the sign.
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
        for some in reflections.chunks(REFLECTIONS_PER_CHECK) {
            threads::check();
            for (v, factor, sign) in some {
                let from = dim - v.len();
                let tail = &mut row[from..];
                let step = factor * dot_in_lanes(tail, v);
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

/// Σ aᵢbᵢ in eight lanes that are added in a fixed order. So the compiler can vectorise the sum
/// without changing a bit.
fn dot_in_lanes(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = [0f64; 8];
    for (x, y) in a.chunks(8).zip(b.chunks(8)) {
        for ((lane, p), q) in sum.iter_mut().zip(x).zip(y) {
            *lane += p * q;
        }
    }
    ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]))
}
