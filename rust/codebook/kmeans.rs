//! Lloyd's algorithm on samples of the law of a block.
//!
//! Samples stand coordinate by coordinate, as the block kernel takes them, so an iteration is one search for the nearest codeword and
//! one pass of sums in the order of the samples (float64): the result does not depend on threads or instruction set.

use crate::isa::Isa;
use crate::kernels::nearest::{self, Words};
use crate::rng::SeedStream;
use crate::threads;

/// Samples that a thread takes at a time.
const CHUNK: usize = 2048;
/// Samples from one look at whether to stop to the next: with 65,536 words a chunk takes a second.
const TOGETHER: usize = 128;

/// `count` samples of p coordinates each: coordinate j of sample i at \[i + j·count\] of its chunk.
#[derive(Debug)]
pub struct Samples {
    block: usize,
    count: usize,
    chunks: Vec<Vec<f32>>,
}

impl Samples {
    /// Samples of the block law of d = `dim`, or of N(0, I) where `dim` is none.
    ///
    /// A block of p coordinates of √d·(uniform point of the sphere) is √d·g/√(‖g‖² + h), g of p Gaussians and h the sum of the squares of
    /// d − p others, a χ² variable (h = 0 at d = p: the sphere itself). Samples come with both signs, so their mean is exactly 0.
    pub fn draw(dim: Option<usize>, block: usize, count: usize, stream: &mut SeedStream) -> Self {
        let count = count.next_multiple_of(CHUNK);
        let mut chunks = Vec::with_capacity(count / CHUNK);
        let mut g = vec![0f64; block];
        for _ in 0..count / CHUNK {
            let mut chunk = vec![0f32; CHUNK * block];
            for i in 0..CHUNK / 2 {
                if i % TOGETHER == 0 {
                    threads::check();
                }
                g.iter_mut().for_each(|value| *value = stream.gaussian());
                if let Some(dim) = dim {
                    let own: f64 = g.iter().map(|value| value * value).sum();
                    let factor = (dim as f64 / (own + chi_square(dim - block, stream))).sqrt();
                    g.iter_mut().for_each(|value| *value *= factor);
                }
                for (j, &value) in g.iter().enumerate() {
                    chunk[2 * i + j * CHUNK] = value as f32;
                    chunk[2 * i + 1 + j * CHUNK] = -value as f32;
                }
            }
            chunks.push(chunk);
        }
        Self {
            block,
            count,
            chunks,
        }
    }

    /// The index of the nearest word of each sample, chunk by chunk.
    fn assign(&self, words: &[f32]) -> Vec<Vec<u16>> {
        let words = Words::new(words, self.block);
        let isa = Isa::detect();
        threads::map(self.chunks.iter().collect(), |_, chunk| {
            let mut index = vec![0u16; CHUNK];
            let mut some = Vec::new();
            for from in (0..CHUNK).step_by(TOGETHER) {
                threads::check();
                some.clear();
                for coordinate in chunk.chunks_exact(CHUNK) {
                    some.extend_from_slice(&coordinate[from..from + TOGETHER]);
                }
                nearest::block(isa, &some, &words, &mut index[from..from + TOGETHER]);
            }
            index
        })
    }

    fn each(&self, index: &[Vec<u16>], mut visit: impl FnMut(usize, usize, f32)) {
        for (chunk, index) in self.chunks.iter().zip(index) {
            for j in 0..self.block {
                threads::check();
                for (&k, &value) in index.iter().zip(&chunk[j * CHUNK..]) {
                    visit(usize::from(k), j, value);
                }
            }
        }
    }

    /// The mean squared error a coordinate of these words on these samples.
    pub fn distortion(&self, words: &[f32]) -> f64 {
        let index = self.assign(words);
        let mut sum = 0.0;
        self.each(&index, |k, j, value| {
            let off = f64::from(value) - f64::from(words[k * self.block + j]);
            sum += off * off;
        });
        sum / (self.count * self.block) as f64
    }

    /// One Lloyd step: every word goes to the mean of its cell, by the fraction `step` of the way; a word of an empty cell stays.
    pub fn lloyd(&self, words: &mut [f32], step: f64) {
        let p = self.block;
        let index = self.assign(words);
        let mut sums = vec![0f64; words.len()];
        let mut counts = vec![0u32; words.len() / p];
        self.each(&index, |k, j, value| sums[k * p + j] += f64::from(value));
        index
            .iter()
            .flatten()
            .for_each(|&k| counts[usize::from(k)] += 1);
        for ((word, sum), &count) in words
            .chunks_exact_mut(p)
            .zip(sums.chunks_exact(p))
            .zip(&counts)
        {
            if count > 0 {
                for (c, s) in word.iter_mut().zip(sum) {
                    let old = f64::from(*c);
                    *c = (old + step * (s / f64::from(count) - old)) as f32;
                }
            }
        }
    }
}

/// A χ² variable of `degrees` degrees of freedom: by its definition for one, by the exact rejection of Marsaglia and Tsang (2000) from two on.
fn chi_square(degrees: usize, stream: &mut SeedStream) -> f64 {
    if degrees < 2 {
        return (0..degrees).map(|_| stream.gaussian()).map(|g| g * g).sum();
    }
    let shift = 0.5 * degrees as f64 - 1.0 / 3.0;
    let slope = 1.0 / (9.0 * shift).sqrt();
    loop {
        let g = stream.gaussian();
        let root = 1.0 + slope * g;
        let cube = root * root * root;
        let log = libm::log(1.0 - stream.uniform());
        if root > 0.0 && log < 0.5 * g * g + shift * (1.0 - cube + libm::log(cube)) {
            return 2.0 * shift * cube;
        }
    }
}

/// K points with the density that is best for many codewords, f^(p/(p+2)): for N(0, I) the law with (p+2)/p times the variance.
fn start(block: usize, count: usize, stream: &mut SeedStream) -> Vec<f32> {
    let spread = ((block + 2) as f64 / block as f64).sqrt();
    (0..block * count)
        .map(|_| (spread * stream.gaussian()) as f32)
        .collect()
}

/// Lloyd steps under a noise that dies away over the first `noisy` of `rounds` (stochastic relaxation, Zeger, Vaisey and Gersho 1992).
pub fn relax(
    fit: &Samples,
    words: &mut [f32],
    rounds: usize,
    noisy: usize,
    stream: &mut SeedStream,
) {
    let count = (words.len() / fit.block) as f64;
    let cell = libm::pow(count, -1.0 / fit.block as f64);
    for round in 0..rounds {
        fit.lloyd(words, 1.0);
        if round < noisy {
            let left = 1.0 - round as f64 / noisy as f64;
            let spread = 0.5 * cell * left * left;
            words
                .iter_mut()
                .for_each(|c| *c += (spread * stream.gaussian()) as f32);
        }
    }
}

/// A codebook for N(0, I) from nothing: [`relax`] with `effort` samples a codeword and `noisy` noisy steps, then averaging steps on four times
/// as many fresh samples each.
pub fn anneal(
    block: usize,
    width: u32,
    effort: usize,
    noisy: usize,
    stream: &mut SeedStream,
) -> Vec<f32> {
    const PLAIN: usize = 16;
    const FRESH: usize = 8;
    let count = 1usize << width;
    let mut words = start(block, count, stream);
    let few = Samples::draw(None, block, (effort * count).max(1 << 15), stream);
    relax(&few, &mut words, noisy + PLAIN, noisy, stream);
    drop(few);
    for round in 0..FRESH {
        let fresh = Samples::draw(None, block, (4 * effort * count).max(1 << 18), stream);
        fresh.lloyd(&mut words, 1.0 / (1.0 + round as f64));
    }
    words
}
