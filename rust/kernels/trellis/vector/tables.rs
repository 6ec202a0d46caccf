//! What the vector body looks up.

use crate::kernels::simd::BYTES;
use crate::kernels::trellis::labels::LABELS;

/// The bytes of a vector, in one cache line.
#[derive(Debug, Default, Clone, Copy)]
#[repr(align(32))]
pub struct Vector(pub [u8; BYTES]);

/// States of a row in a vector, which holds those of two rows.
pub const STATES: usize = BYTES / 2;

/// Steps whose labels are looked up together.
pub const STEPS: usize = 8;

/// The tables.
#[derive(Debug, Default, Clone)]
pub struct Tables {
    /// Labels of windows. From 32 states on there are four vectors for each vector of lower
    /// predecessors j: those of the windows 2j and 2j + 2^ν, then of 2j + 1 and 2j + 1 + 2^ν. At 16
    /// states there are two, of the windows s and s + 16 of the states s.
    pub shuffles: Vec<Vector>,
    /// Whether the windows 2j and 2j + 1 + 2^ν have one label, and so 2j + 2^ν and 2j + 1. It is so
    /// where the generators that have bit 0 are those that have bit ν.
    pub is_symmetric: bool,
    /// At half rates, the labels of the states.
    pub between: Vec<Vector>,
    /// The labels of eight steps depend linearly on the ν + 8 bits that enter up to the last of
    /// them. Entry 256·i + byte has the part of byte i of these bits: a label per byte, at half
    /// rates in two words, with those of the coordinates between in their places.
    pub eights: Vec<u64>,
    /// For 1, 2, … in the uncoded bits, the last q + 4·unit of each label for which they are less:
    /// the low bytes and the high bytes of 16-bit integers.
    pub limits: Vec<[Vector; 2]>,
}

impl Tables {
    /// Prepares the tables of a register of `memory` bits, from the labels of its windows, at half
    /// rates those of its states, and the limits of 1, 2, … in the uncoded bits.
    pub fn new(
        memory: usize,
        labels: &[u8],
        between: Option<&[u8]>,
        limits: &[[u16; LABELS]],
    ) -> Self {
        let states = 1 << memory;
        let vector = |label: &dyn Fn(usize) -> u8| -> Vector {
            Vector(std::array::from_fn(|i| label(i % STATES)))
        };
        let shuffles = if states == STATES {
            [0, 1]
                .map(|higher| vector(&|state| labels[state + higher * states]))
                .to_vec()
        } else {
            let four = |first: usize| {
                [0, states, 1, 1 + states]
                    .map(|window| vector(&|i| labels[2 * (first + i) + window]))
            };
            (0..states / 2).step_by(STATES).flat_map(four).collect()
        };
        let of_states = between.iter().flat_map(|labels| {
            let (states, _) = labels.as_chunks::<STATES>();
            states.iter().map(|labels| vector(&|i| labels[i]))
        });
        let limits = limits
            .iter()
            .map(|limits| [0, 1].map(|byte| vector(&|label| limits[label].to_le_bytes()[byte])));
        Self {
            between: of_states.collect(),
            eights: eights(memory, labels, between),
            limits: limits.collect(),
            shuffles,
            is_symmetric: labels[1] == labels[states],
        }
    }
}

/// The parts of the labels of eight steps.
fn eights(memory: usize, labels: &[u8], between: Option<&[u8]>) -> Vec<u64> {
    let bits = memory + STEPS;
    let mut parts = Vec::new();
    for part in 0..bits.div_ceil(8) {
        for byte in 0..256u32 {
            // Bit i of the byte enters in step 8·part + i − ν of the eight.
            let label = |step: usize, table: &[u8], width: usize| {
                let windows = (0..8).filter(|i| byte >> i & 1 == 1).filter_map(|i| {
                    let age = (memory + step).checked_sub(8 * part + i)?;
                    (age < width).then_some(1 << age)
                });
                table[windows.sum::<usize>()]
            };
            let word = |labels: [u8; STEPS]| u64::from_le_bytes(labels);
            let of_step = |step| label(step, labels, memory + 1);
            match between {
                None => parts.push(word(std::array::from_fn(of_step))),
                Some(between) => parts.extend([0, 1].map(|half| {
                    word(std::array::from_fn(|i| {
                        let (step, is_between) = ((half * STEPS + i) / 2, i % 2 == 1);
                        if is_between {
                            label(step, between, memory)
                        } else {
                            of_step(step)
                        }
                    }))
                })),
            }
        }
    }
    parts
}
