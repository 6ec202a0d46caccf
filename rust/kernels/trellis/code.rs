//! The tables of a code.

use std::ops::Range;

use super::decode::Tables;

/// Labels of a window.
pub const LABELS: usize = 16;

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
    /// 16·uncoded + label.
    pub words: &'a [i16],
    /// Steps of q per unit of u, a power of two up to 2¹².
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
    pub(super) unit: i16,
    /// \[q + 4·unit\]\[label\]: the metric.
    pub(super) metrics: Vec<[u8; LABELS]>,
    /// \[q + 4·unit\]\[label\]: the uncoded bits of the nearest codeword of the label.
    pub(super) nearest: Vec<[u8; LABELS]>,
    /// What vectors look up to decode, where they can.
    pub(super) decode: Option<Tables>,
}

impl Code {
    /// Prepares the tables.
    ///
    /// # Panics
    /// If a number is out of its range, or if there are not 16 codewords for each of up to 8
    /// choices of uncoded bits.
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
        assert!(unit.is_power_of_two() && unit <= 1 << 12, "steps per unit");
        assert!(range > 0, "a range of the metrics");
        let choices = words.len() / LABELS;
        assert!(
            choices.is_power_of_two() && choices <= 8 && words.len() == choices * LABELS,
            "16 codewords for each choice of uncoded bits"
        );
        let labels = |bits: u32, generators: [u32; 4]| -> Vec<u8> {
            let parity =
                |window: u32, generator: u32| ((window & generator).count_ones() & 1) as u8;
            let label = |window| (0..4).map(|i| parity(window, generators[i]) << i).sum();
            (0..1 << bits).map(label).collect()
        };
        let most = 4 * unit as i32;
        let mut metrics = Vec::new();
        let mut nearest = Vec::new();
        for q in -most..=most {
            let place = i64::from(q) * i64::from((1 << 12) / unit);
            let distance = |at: usize| (place - i64::from(words[at])).pow(2) as u64;
            let best: [(u64, usize); LABELS] = std::array::from_fn(|label| {
                let choices = (0..choices).map(|j| (distance(j * LABELS + label), j));
                choices.min().expect("at least one choice")
            });
            let least = best
                .iter()
                .map(|&(distance, _)| distance)
                .min()
                .unwrap_or(0);
            let range = u64::from(range);
            metrics.push(best.map(|(distance, _)| {
                let metric = (2 * 255 * (distance - least) + range) / (2 * range);
                metric.min(255) as u8
            }));
            nearest.push(best.map(|(_, choice)| choice as u8));
        }
        let of_windows = labels(memory + 1, generators);
        let of_states = between.map(|generators| labels(memory, generators));
        Self {
            memory: memory as usize,
            uncoded: choices.ilog2() as usize,
            decode: Tables::new(&of_windows, of_states.as_deref(), words),
            labels: of_windows,
            between: of_states,
            integers: words.to_vec(),
            words: words.iter().map(|&word| f32::from(word) / 4096.0).collect(),
            unit: unit as i16,
            metrics,
            nearest,
        }
    }

    /// The codewords, the one of a label and of uncoded bits at place 16·uncoded + label.
    pub fn words(&self) -> &[f32] {
        &self.words
    }

    /// P, the bits of the path of a row.
    pub fn steps(&self, dim: usize) -> usize {
        if self.between.is_some() {
            dim.div_ceil(2)
        } else {
            dim
        }
    }

    /// The bits of a row.
    pub fn bits(&self, dim: usize) -> usize {
        self.steps(dim) + self.uncoded * dim
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
        let most = if self.memory >= 8 { 64 } else { 32 };
        (self.steps(dim) / 2).min(most)
    }
}
