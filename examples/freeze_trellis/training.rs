//! Lloyd's algorithm on the codewords of a trellis code: find the best paths of Gaussian rows, then
//! move each codeword to the mean of its coordinates.
//!
//! Sums are in float64 in the order of the rows, so the result does not depend on the number of
//! threads.

use blockquant::codebook::trellis::LABELS;
use blockquant::rng::SeedStream;
use blockquant::threads;

use super::viterbi::{LANES, Lanes, Trellis, Workspace};

/// The label of the seed stream that rows and generators are drawn from.
pub const LABEL_TRELLIS: u64 = 8;

/// The standard deviation of the law whose quantiles are the first codewords. Good codewords reach
/// further than the coordinates do.
const SPREAD: f64 = 1.15;

/// Rows in groups of [`LANES`].
pub type Groups = Vec<Vec<Lanes>>;

/// Groups of Gaussian rows of `dim` coordinates.
pub fn gaussian_rows(seed: u64, groups: usize, dim: usize) -> Groups {
    let mut stream = SeedStream::new(seed, LABEL_TRELLIS);
    let mut coordinate = || std::array::from_fn(|_| stream.gaussian() as f32);
    (0..groups)
        .map(|_| (0..dim).map(|_| coordinate()).collect())
        .collect()
}

/// The first codewords: c_i is the quantile (i + ½)/(16·m) of N(0, [`SPREAD`]²).
pub fn first_words(uncoded: u32) -> Vec<f32> {
    let count = LABELS << uncoded;
    (0..count)
        .map(|i| (SPREAD * normal_quantile((i as f64 + 0.5) / count as f64)) as f32)
        .collect()
}

/// The quantile of N(0, 1), by bisection.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let below = 0.5 * libm::erfc(-middle * std::f64::consts::FRAC_1_SQRT_2);
        (low, high) = if below < p {
            (middle, high)
        } else {
            (low, middle)
        };
    }
    0.5 * (low + high)
}

/// What is known about each codeword after the paths have been found.
struct Cells {
    sums: Vec<f64>,
    counts: Vec<f64>,
    /// The sum of squared errors.
    error: f64,
}

impl Cells {
    fn of(trellis: &Trellis, rows: &[Lanes], work: &mut Workspace) -> Self {
        trellis.encode(rows, work);
        let count = trellis.words.len();
        let mut cells = Self {
            sums: vec![0.0; count],
            counts: vec![0.0; count],
            error: 0.0,
        };
        for (u, chosen) in rows.iter().zip(&work.chosen) {
            for (&u, &i) in u.iter().zip(chosen) {
                let i = usize::from(i);
                let off = f64::from(u - trellis.words[i]);
                cells.sums[i] += f64::from(u);
                cells.counts[i] += 1.0;
                cells.error += off * off;
            }
        }
        cells
    }

    fn add(&mut self, other: &Self) {
        let pairs = self.sums.iter_mut().zip(&other.sums);
        pairs
            .chain(self.counts.iter_mut().zip(&other.counts))
            .for_each(|(to, from)| *to += from);
        self.error += other.error;
    }

    /// The mean of each cell and of its mirror image together.
    fn means(&self, words: &mut [f32]) {
        let last = words.len() - 1;
        for (i, word) in words.iter_mut().enumerate() {
            let count = self.counts[i] + self.counts[last - i];
            if count > 0.0 {
                *word = ((self.sums[i] - self.sums[last - i]) / count) as f32;
            }
        }
    }
}

/// One round: returns the mean squared error per coordinate, and moves the codewords if `moves`.
pub fn round(trellis: &mut Trellis, groups: &[Vec<Lanes>], moves: bool) -> f64 {
    let found = threads::map_with(
        groups.iter().collect(),
        Workspace::default,
        |work, _, rows| Cells::of(trellis, rows, work),
    );
    let mut found = found.into_iter();
    let mut cells = found.next().expect("at least one group");
    found.for_each(|other| cells.add(&other));
    if moves {
        cells.means(&mut trellis.words);
    }
    let coordinates: usize = groups.iter().map(|rows| LANES * rows.len()).sum();
    cells.error / coordinates as f64
}

/// Rounds of training.
const ROUNDS: usize = 40;
/// The unit of the frozen codewords: 2⁻¹².
const UNIT: f64 = 1.0 / 4096.0;

/// The rows that codewords are trained on, and those that the frozen error is measured on.
pub fn rows_for_training() -> (Groups, Groups) {
    (gaussian_rows(21, 16, 2048), gaussian_rows(22, 16, 2048))
}

/// Trained codewords in units of 2⁻¹².
pub fn train(
    memory: u32,
    generators: &[[u32; 4]],
    uncoded: u32,
    groups: &[Vec<Lanes>],
) -> Vec<i16> {
    let mut trellis = Trellis::new(memory, generators, first_words(uncoded));
    for _ in 0..ROUNDS {
        round(&mut trellis, groups, true);
    }
    let words = trellis.words.iter();
    words
        .map(|&c| (f64::from(c) / UNIT).round() as i16)
        .collect()
}

/// The mean squared error per coordinate of frozen codewords, in units of 2⁻²⁴.
pub fn distortion(
    memory: u32,
    generators: &[[u32; 4]],
    words: &[i16],
    groups: &[Vec<Lanes>],
) -> u32 {
    let words = words.iter().map(|&c| (f64::from(c) * UNIT) as f32);
    let mut trellis = Trellis::new(memory, generators, words.collect());
    (round(&mut trellis, groups, false) / (UNIT * UNIT)).round() as u32
}
