//! The Viterbi algorithm in float32 for rows that start in any state. Sixteen rows lie side by
//! side, so that the compiler can put one row into each lane of its registers.
//!
//! No sum goes over lanes, and none is fused, so the result is the same on every platform.

use blockquant::codebook::trellis::LABELS;

/// Rows that are coded side by side.
pub const LANES: usize = 16;
/// One coordinate of all rows.
pub type Lanes = [f32; LANES];

/// Steps after which the metrics are reduced, so that they keep their precision.
const STEPS_PER_REDUCTION: usize = 64;

/// A trellis code in float32.
#[derive(Clone)]
pub struct Trellis {
    memory: u32,
    /// The label of each window, for each phase.
    labels: Vec<Vec<u8>>,
    /// The codewords c_i, i = 16·j + l.
    pub words: Vec<f32>,
}

/// Memory that calls share.
#[derive(Default)]
pub struct Workspace {
    /// Whether the path to a state comes from the higher predecessor.
    decisions: Vec<[u8; LANES]>,
    metrics: [Vec<Lanes>; 2],
    /// The index of the codeword of each coordinate.
    pub chosen: Vec<[u8; LANES]>,
}

impl Trellis {
    /// The code with these generators for each phase.
    pub fn new(memory: u32, generators: &[[u32; 4]], words: Vec<f32>) -> Self {
        let labels = generators.iter().enumerate().map(|(phase, generators)| {
            let label = |window: u32| {
                let parity = |i: usize| ((window & generators[i]).count_ones() & 1) << i;
                (0..4).map(parity).sum::<u32>() as u8
            };
            let bits = memory + u32::from(phase == 0);
            (0..1 << bits).map(label).collect()
        });
        Self {
            memory,
            labels: labels.collect(),
            words,
        }
    }

    /// Finds the path with the least squared error for each of the rows.
    pub fn encode(&self, rows: &[Lanes], work: &mut Workspace) {
        let states = 1usize << self.memory;
        work.decisions.resize(rows.len() * states, [0; LANES]);
        for metrics in &mut work.metrics {
            metrics.clear();
            metrics.resize(states, [0.0; LANES]);
        }
        for (t, (u, decisions)) in
            (rows.iter().zip(work.decisions.chunks_exact_mut(states))).enumerate()
        {
            let distances = self.distances(u);
            let labels = &self.labels[t % self.labels.len()];
            let [old, new] = &mut work.metrics;
            if labels.len() == states {
                for (metric, &label) in old.iter_mut().zip(labels) {
                    add(metric, &distances[usize::from(label)]);
                }
            } else {
                step(&distances, labels, old, new, decisions);
                work.metrics.swap(0, 1);
            }
            if t % STEPS_PER_REDUCTION == STEPS_PER_REDUCTION - 1 {
                let metrics = &mut work.metrics[0];
                let base = metrics[0].map(|x| -x);
                metrics.iter_mut().for_each(|metric| add(metric, &base));
            }
        }
        self.trace(rows, work);
    }

    /// The squared distance to the nearest codeword of each label.
    fn distances(&self, u: &Lanes) -> [Lanes; LABELS] {
        let mut out = [[f32::INFINITY; LANES]; LABELS];
        for words in self.words.chunks_exact(LABELS) {
            for (least, word) in out.iter_mut().zip(words) {
                for (least, u) in least.iter_mut().zip(u) {
                    let distance = (u - word) * (u - word);
                    *least = if distance < *least { distance } else { *least };
                }
            }
        }
        out
    }

    /// Follows the decisions from the best last state of each row back to its start.
    fn trace(&self, rows: &[Lanes], work: &mut Workspace) {
        let states = 1usize << self.memory;
        let metrics = &work.metrics[0];
        let mut state: [usize; LANES] = std::array::from_fn(|lane| {
            let better = |best: usize, s: usize| {
                if metrics[s][lane] < metrics[best][lane] {
                    s
                } else {
                    best
                }
            };
            (0..states).fold(0, better)
        });
        work.chosen.resize(rows.len(), [0; LANES]);
        for (t, chosen) in work.chosen.iter_mut().enumerate().rev() {
            let labels = &self.labels[t % self.labels.len()];
            let decisions = &work.decisions[t * states..][..states];
            for lane in 0..LANES {
                let s = state[lane];
                let window = if labels.len() == states {
                    s
                } else {
                    s | usize::from(decisions[s][lane]) << self.memory
                };
                chosen[lane] = self.nearest(rows[t][lane], usize::from(labels[window])) as u8;
                if labels.len() != states {
                    state[lane] = window / 2;
                }
            }
        }
    }

    /// The index of the nearest codeword of a label, the first of equals.
    fn nearest(&self, u: f32, label: usize) -> usize {
        let distance = |i: usize| (u - self.words[i]) * (u - self.words[i]);
        let choices = (label..self.words.len()).step_by(LABELS);
        let better = |best: usize, i: usize| {
            if distance(i) < distance(best) {
                i
            } else {
                best
            }
        };
        choices.fold(label, better)
    }
}

/// Adds lane by lane.
fn add(to: &mut Lanes, from: &Lanes) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// One step with a bit: states 2s and 2s + 1 follow on s and on s + 2^(ν−1).
fn step(
    distances: &[Lanes; LABELS],
    labels: &[u8],
    old: &[Lanes],
    new: &mut [Lanes],
    decisions: &mut [[u8; LANES]],
) {
    let states = old.len();
    let (low, high) = old.split_at(states / 2);
    let (from_low, from_high) = labels.split_at(states);
    let (new, _) = new.as_chunks_mut::<2>();
    let (decisions, _) = decisions.as_chunks_mut::<2>();
    let (from_low, _) = from_low.as_chunks::<2>();
    let (from_high, _) = from_high.as_chunks::<2>();
    for i in 0..states / 2 {
        for x in 0..2 {
            let by_low = &distances[usize::from(from_low[i][x]) % LABELS];
            let by_high = &distances[usize::from(from_high[i][x]) % LABELS];
            let a: Lanes = std::array::from_fn(|lane| low[i][lane] + by_low[lane]);
            let b: Lanes = std::array::from_fn(|lane| high[i][lane] + by_high[lane]);
            new[i][x] =
                std::array::from_fn(|lane| if b[lane] < a[lane] { b[lane] } else { a[lane] });
            decisions[i][x] = std::array::from_fn(|lane| u8::from(b[lane] < a[lane]));
        }
    }
}
