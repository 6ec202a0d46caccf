//! k-means: Lloyd's algorithm on random samples of the law of a block. A step assigns every sample
//! to its nearest word and then moves every word to the mean of its samples.
//!
//! Samples are stored coordinate by coordinate, as the kernel for the nearest word takes them. A
//! step is one call of that kernel and one pass of float64 sums in the order of the samples, so the
//! result does not depend on the number of threads or the instruction set.
//!
//! FROZEN: the draws, their order and every step, because codebooks without a frozen table are made
//! by them.

use crate::isa::Isa;
use crate::kernels::nearest::{self, Words};
use crate::rng::SeedStream;
use crate::threads;

/// Samples per chunk, the unit of work of a thread.
const SAMPLES_PER_CHUNK: usize = 2048;
/// Samples between two checks whether to stop: with 65,536 words a chunk takes a second.
const SAMPLES_PER_CHECK: usize = 128;

/// Samples of p = `block` coordinates, in chunks of N = 2,048. Coordinate j of sample i in a
/// chunk is at place i + j·N of the chunk.
#[derive(Debug)]
pub struct Samples {
    block: usize,
    /// Samples in all chunks together.
    count: usize,
    chunks: Vec<Vec<f32>>,
}

impl Samples {
    /// At least `count` samples of the law of a block for d = `dim`, or of N(0, I) if `dim` is
    /// `None`.
    ///
    /// A block of p coordinates of √d·(uniform point of the sphere) has the law of
    /// √d·g/√(‖g‖² + h). There g has p Gaussian coordinates, and h is a χ² variable with d − p
    /// degrees of freedom (h = 0 at p = d). Samples come in pairs of opposite sign, so their mean
    /// is exactly 0.
    pub fn draw(dim: Option<usize>, block: usize, count: usize, stream: &mut SeedStream) -> Self {
        let count = count.next_multiple_of(SAMPLES_PER_CHUNK);
        let mut chunks = Vec::with_capacity(count / SAMPLES_PER_CHUNK);
        let mut g = vec![0f64; block];
        for _ in 0..count / SAMPLES_PER_CHUNK {
            let mut chunk = vec![0f32; SAMPLES_PER_CHUNK * block];
            for i in 0..SAMPLES_PER_CHUNK / 2 {
                if i % SAMPLES_PER_CHECK == 0 {
                    threads::check();
                }
                g.iter_mut().for_each(|value| *value = stream.gaussian());
                if let Some(dim) = dim {
                    let own: f64 = g.iter().map(|value| value * value).sum();
                    let factor = (dim as f64 / (own + chi_square(dim - block, stream))).sqrt();
                    g.iter_mut().for_each(|value| *value *= factor);
                }
                for (j, &value) in g.iter().enumerate() {
                    chunk[2 * i + j * SAMPLES_PER_CHUNK] = value as f32;
                    chunk[2 * i + 1 + j * SAMPLES_PER_CHUNK] = -value as f32;
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

    /// The index of the word nearest to each sample, chunk by chunk.
    fn assign(&self, words: &[f32]) -> Vec<Vec<u16>> {
        let words = Words::new(words, self.block);
        let isa = Isa::detect();
        threads::map(self.chunks.iter().collect(), |_, chunk| {
            let mut index = vec![0u16; SAMPLES_PER_CHUNK];
            let mut some = Vec::new();
            for from in (0..SAMPLES_PER_CHUNK).step_by(SAMPLES_PER_CHECK) {
                threads::check();
                some.clear();
                for coordinate in chunk.chunks_exact(SAMPLES_PER_CHUNK) {
                    some.extend_from_slice(&coordinate[from..from + SAMPLES_PER_CHECK]);
                }
                let index = &mut index[from..from + SAMPLES_PER_CHECK];
                nearest::brute_force(isa, &some, &words, index);
            }
            index
        })
    }

    /// Calls `visit` with the index of the word, the coordinate j and its value, for every value.
    fn for_each_value(&self, index: &[Vec<u16>], mut visit: impl FnMut(usize, usize, f32)) {
        for (chunk, index) in self.chunks.iter().zip(index) {
            for j in 0..self.block {
                threads::check();
                for (&k, &value) in index.iter().zip(&chunk[j * SAMPLES_PER_CHUNK..]) {
                    visit(usize::from(k), j, value);
                }
            }
        }
    }

    /// The mean squared error per coordinate of these words on these samples.
    pub fn distortion(&self, words: &[f32]) -> f64 {
        let index = self.assign(words);
        let mut sum = 0.0;
        self.for_each_value(&index, |k, j, value| {
            let off = f64::from(value) - f64::from(words[k * self.block + j]);
            sum += off * off;
        });
        sum / (self.count * self.block) as f64
    }

    /// One Lloyd step: every word moves the fraction `step` of the way to the mean of its samples.
    /// A word without samples stays.
    pub fn lloyd(&self, words: &mut [f32], step: f64) {
        let p = self.block;
        let index = self.assign(words);
        let mut sums = vec![0f64; words.len()];
        let mut counts = vec![0u32; words.len() / p];
        self.for_each_value(&index, |k, j, value| sums[k * p + j] += f64::from(value));
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

/// A χ² variable with `degrees` degrees of freedom. One degree is a squared Gaussian; two and more
/// use the exact rejection method of Marsaglia and Tsang (2000).
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

/// `count` random words with the density that is best for many of them, f^(p/(p+2)). For N(0, I)
/// this is a Gaussian of (p + 2)/p times the variance.
fn random_words(block: usize, count: usize, stream: &mut SeedStream) -> Vec<f32> {
    let spread = ((block + 2) as f64 / block as f64).sqrt();
    (0..block * count)
        .map(|_| (spread * stream.gaussian()) as f32)
        .collect()
}

/// Makes `steps` Lloyd steps. After each of the first `noisy_steps` the words get Gaussian noise
/// that decreases to 0 (stochastic relaxation, Zeger, Vaisey and Gersho 1992).
pub fn relax(
    training: &Samples,
    words: &mut [f32],
    steps: usize,
    noisy_steps: usize,
    stream: &mut SeedStream,
) {
    let count = (words.len() / training.block) as f64;
    let cell_size = libm::pow(count, -1.0 / training.block as f64);
    for step in 0..steps {
        training.lloyd(words, 1.0);
        if step < noisy_steps {
            let remaining = 1.0 - step as f64 / noisy_steps as f64;
            let spread = 0.5 * cell_size * remaining * remaining;
            words
                .iter_mut()
                .for_each(|c| *c += (spread * stream.gaussian()) as f32);
        }
    }
}

/// A codebook of 2^`width` words for N(0, I), made from random words. [`relax`] with `noisy_steps`
/// and `samples_per_word` comes first, then averaging steps on four times as many samples, fresh
/// ones for each step.
pub fn anneal(
    block: usize,
    width: u32,
    samples_per_word: usize,
    noisy_steps: usize,
    stream: &mut SeedStream,
) -> Vec<f32> {
    const PLAIN_STEPS: usize = 16;
    const AVERAGING_STEPS: usize = 8;
    let count = 1usize << width;
    let mut words = random_words(block, count, stream);
    let samples = samples_per_word * count;
    let training = Samples::draw(None, block, samples.max(1 << 15), stream);
    relax(
        &training,
        &mut words,
        noisy_steps + PLAIN_STEPS,
        noisy_steps,
        stream,
    );
    drop(training);
    for step in 0..AVERAGING_STEPS {
        let fresh = Samples::draw(None, block, (4 * samples).max(1 << 18), stream);
        fresh.lloyd(&mut words, 1.0 / (1.0 + step as f64));
    }
    words
}
