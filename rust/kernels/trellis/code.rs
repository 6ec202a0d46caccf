//! The tables of a code.

use std::ops::Range;

use super::labels::{LABELS, labels};
use super::{decode, vector};

/// The most steps on each side of the first state from which that state is found.
const MOST_WINDOW: usize = 64;

/// The numbers that define a code.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'a> {
    /// ν: the register has 2^ν states.
    pub memory: u32,
    /// The generators of the four label bits, for windows of ν + 1 bits.
    pub generators: [u32; 4],
    /// At half rates, the generators for coordinates without a step, whose windows have ν bits.
    pub between: Option<[u32; 4]>,
    /// The codewords in units of 2⁻¹², the one of a label and of uncoded bits at place
    /// 16·uncoded + label. Those of a label ascend.
    pub words: &'a [i16],
    /// Steps of q per unit of u, a power of two up to 2¹¹.
    pub unit: u32,
    /// The squared distance, in units of 2⁻²⁴, that the metric 255 stands for.
    pub range: u32,
}

/// A code: what the encoder and the decoder look up.
#[derive(Debug, Clone)]
pub struct Code {
    /// ν.
    pub(super) memory: usize,
    /// The planes of uncoded bits.
    pub(super) uncoded: usize,
    /// The label of each window of ν + 1 bits.
    pub(super) labels: Vec<u8>,
    /// At half rates, the label of each state.
    pub(super) between: Option<Vec<u8>>,
    /// The codewords in units of 2⁻¹².
    pub(super) integers: Vec<i16>,
    /// The codewords.
    words: Vec<f32>,
    /// Steps of q per unit of u.
    pub(super) unit: u16,
    /// \[q + 4·unit\]\[label\]: the metric. After them stand the metrics of a coordinate that the
    /// row does not have, all zeros.
    pub(super) metrics: Vec<[u8; LABELS]>,
    /// What vectors look up to decode, where they can.
    pub(super) decode: Option<decode::Tables>,
    /// What vectors look up to search for a path.
    pub(super) vector: vector::Tables,
}

/// The bits of a row: those of its path, and the planes of uncoded bits.
pub fn row_bits(dim: usize, coordinates_per_step: usize, uncoded: usize) -> usize {
    dim.div_ceil(coordinates_per_step) + uncoded * dim
}

impl Code {
    /// Prepares the tables.
    ///
    /// # Panics
    /// If a number is out of its range, or if there are not 16 codewords for each of up to 8
    /// choices of uncoded bits, ascending for each label.
    pub fn new(design: &Definition<'_>) -> Self {
        let Definition {
            memory,
            generators,
            between,
            words,
            unit,
            range,
        } = *design;
        assert!((4..=10).contains(&memory), "16 to 1,024 states");
        assert!(unit.is_power_of_two() && unit <= 1 << 11, "steps per unit");
        assert!(range > 0, "a range of the metrics");
        let choices = words.len() / LABELS;
        assert!(
            choices.is_power_of_two() && choices <= 8 && words.len() == choices * LABELS,
            "16 codewords for each choice of uncoded bits"
        );
        let ascend = |label: usize| words[label..].iter().step_by(LABELS).is_sorted();
        assert!((0..LABELS).all(ascend), "ascending codewords of a label");
        let of_windows = labels(memory + 1, generators);
        let of_states = between.map(|generators| labels(memory, generators));
        let mut code = Self {
            memory: memory as usize,
            uncoded: choices.ilog2() as usize,
            decode: decode::Tables::new(&of_windows, of_states.as_deref(), words),
            labels: of_windows,
            between: of_states,
            integers: words.to_vec(),
            words: words.iter().map(|&word| f32::from(word) / 4096.0).collect(),
            unit: unit as u16,
            metrics: Vec::new(),
            vector: vector::Tables::default(),
        };
        for q in 0..=8 * unit as u16 {
            let distances = code.least_distances(q);
            let least = distances.into_iter().fold(u32::MAX, u32::min);
            let range = u64::from(range);
            code.metrics.push(distances.map(|distance| {
                let metric = (2 * 255 * u64::from(distance - least) + range) / (2 * range);
                metric.min(255) as u8
            }));
        }
        code.metrics.push([0; LABELS]);
        let limits: Vec<_> = (1..choices).map(|choice| code.limits(choice)).collect();
        let between = code.between.as_deref();
        code.vector = vector::Tables::new(code.memory, &code.labels, between, &limits);
        code
    }

    /// The last q + 4·unit of each label for which the uncoded bits of the nearest codeword are
    /// less than `choice`.
    fn limits(&self, choice: usize) -> [u16; LABELS] {
        let all: Vec<u16> = (0..=8 * self.unit).collect();
        std::array::from_fn(|label| {
            let is_less = |&q: &u16| usize::from(self.nearest(q, label as u8)) / LABELS < choice;
            all.partition_point(is_less).wrapping_sub(1) as u16
        })
    }

    /// The place of q, given as q + 4·unit, in units of 2⁻¹².
    fn place(&self, q: u16) -> i32 {
        (i32::from(q) - 4 * i32::from(self.unit)) * ((1 << 12) / i32::from(self.unit))
    }

    /// The squared distance from q, given as q + 4·unit, to a codeword, in units of 2⁻²⁴.
    pub(super) fn distance(&self, q: u16, index: u8) -> u32 {
        let word = i32::from(self.integers[usize::from(index)]);
        (self.place(q) - word).unsigned_abs().pow(2)
    }

    /// The squared distances from q, given as q + 4·unit, to the nearest codewords of the labels.
    #[inline(always)]
    pub(super) fn least_distances(&self, q: u16) -> [u32; LABELS] {
        let place = self.place(q);
        let mut least = [u32::MAX; LABELS];
        for words in self.integers.as_chunks::<LABELS>().0 {
            for (least, &word) in least.iter_mut().zip(words) {
                *least = (*least).min((place - i32::from(word)).unsigned_abs());
            }
        }
        least.map(|distance| distance * distance)
    }

    /// The index of the nearest codeword of a label to q, given as q + 4·unit; of two equally near
    /// ones the first.
    pub(super) fn nearest(&self, q: u16, label: u8) -> u8 {
        let indexes = (0..1 << self.uncoded).map(|uncoded| uncoded * LABELS as u8 + label);
        let nearest = indexes.min_by_key(|&index| self.distance(q, index));
        nearest.unwrap_or(label)
    }

    /// The codewords, the one of a label and of uncoded bits at place 16·uncoded + label.
    pub fn words(&self) -> &[f32] {
        &self.words
    }

    /// P, the bits of the path of a row.
    pub fn steps(&self, dim: usize) -> usize {
        dim.div_ceil(self.coordinates_per_step())
    }

    /// Two at half rates, else one.
    pub(super) fn coordinates_per_step(&self) -> usize {
        1 + usize::from(self.between.is_some())
    }

    /// The bits of a row.
    pub fn bits(&self, dim: usize) -> usize {
        row_bits(dim, self.coordinates_per_step(), self.uncoded)
    }

    /// The packed bytes of a row.
    pub fn row_bytes(&self, dim: usize) -> usize {
        self.bits(dim).div_ceil(8)
    }

    /// The planes of uncoded bits, if vectors decode the code.
    pub(in crate::kernels) fn planes(&self) -> Option<usize> {
        self.decode.as_ref().map(|_| self.uncoded)
    }

    /// The coordinates of a step: one, or two at half rates, as far as the row has them.
    #[inline(always)]
    pub(super) fn coordinates(&self, dim: usize, step: usize) -> Range<usize> {
        if self.between.is_some() {
            2 * step..(2 * step + 2).min(dim)
        } else {
            step..step + 1
        }
    }

    /// T: the steps on each side of the first state from which that state is found.
    pub(super) fn window(&self, dim: usize) -> usize {
        self.steps(dim).min(MOST_WINDOW)
    }
}
