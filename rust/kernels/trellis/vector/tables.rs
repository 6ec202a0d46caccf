//! What the vector body looks up.

use crate::kernels::simd::BYTES;
use crate::kernels::trellis::Code;
use crate::kernels::trellis::code::LABELS;

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
    /// Prepares the tables of a code, which lacks only these.
    pub fn new(code: &Code) -> Self {
        let states = 1 << code.memory;
        let vector = |label: &dyn Fn(usize) -> u8| -> Vector {
            Vector(std::array::from_fn(|i| label(i % STATES)))
        };
        let shuffles = if states == STATES {
            [0, 1]
                .map(|higher| vector(&|state| code.labels[state + higher * states]))
                .to_vec()
        } else {
            let four = |first: usize| {
                [0, states, 1, 1 + states]
                    .map(|window| vector(&|i| code.labels[2 * (first + i) + window]))
            };
            (0..states / 2).step_by(STATES).flat_map(four).collect()
        };
        let between = code.between.iter().flat_map(|labels| {
            let (states, _) = labels.as_chunks::<STATES>();
            states.iter().map(|labels| vector(&|i| labels[i]))
        });
        let all: Vec<u16> = (0..=8 * code.unit).collect();
        let limits = (1..1 << code.uncoded).map(|uncoded| {
            let limit = |label: usize| {
                let is_less = |&q: &u16| code.nearest(q, label as u8) / (LABELS as u8) < uncoded;
                all.partition_point(is_less).wrapping_sub(1) as u16
            };
            [0, 1].map(|byte| vector(&|label| limit(label).to_le_bytes()[byte]))
        });
        Self {
            between: between.collect(),
            eights: eights(code),
            limits: limits.collect(),
            shuffles,
        }
    }
}

/// The parts of the labels of eight steps.
fn eights(code: &Code) -> Vec<u64> {
    let bits = code.memory + STEPS;
    let mut parts = Vec::new();
    for part in 0..bits.div_ceil(8) {
        for byte in 0..256u32 {
            // Bit i of the byte enters in step 8·part + i − ν of the eight.
            let label = |step: usize, table: &[u8], width: usize| {
                let windows = (0..8).filter(|i| byte >> i & 1 == 1).filter_map(|i| {
                    let age = (code.memory + step).checked_sub(8 * part + i)?;
                    (age < width).then_some(1 << age)
                });
                table[windows.sum::<usize>()]
            };
            let word = |labels: [u8; STEPS]| u64::from_le_bytes(labels);
            let of_step = |step| label(step, &code.labels, code.memory + 1);
            match &code.between {
                None => parts.push(word(std::array::from_fn(of_step))),
                Some(between) => parts.extend([0, 1].map(|half| {
                    word(std::array::from_fn(|i| {
                        let (step, is_between) = ((half * STEPS + i) / 2, i % 2 == 1);
                        if is_between {
                            label(step, between, code.memory)
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
