//! The paths that decisions name, from their ends.

use std::ops::Range;

use super::search::vectors;
use super::tables::STATES;
use super::{PAIRS, ROWS};
use crate::kernels::simd::{LANES_32, Simd};
use crate::kernels::trellis::Code;

/// Traces the paths of four rows, two to each of `decisions`, through some steps, from the state
/// after the last of them. Returns the states before the first. Decisions are whole vectors.
///
/// Bit k mod 64 of word ⌊k/64⌋ of a path becomes the bit that leaves the register in step k; bits
/// of other steps in the first and the last word become 0.
#[inline(always)]
pub fn trace<S: Simd>(
    s: S,
    code: &Code,
    decisions: &mut [Vec<u32>; PAIRS],
    steps: Range<usize>,
    states: [usize; ROWS],
    paths: &mut [Vec<u64>; ROWS],
) -> [usize; ROWS] {
    // Bytes of two words, then of four: the states of each row, the even ones first.
    const OF_32: [u8; 8] = [0, 1, 4, 5, 2, 3, 6, 7];
    const OF_64: [u8; 16] = [0, 1, 8, 9, 4, 5, 12, 13, 2, 3, 10, 11, 6, 7, 14, 15];
    match vectors(code) {
        1 => trace_words::<1>(decisions, steps, states, paths),
        2 => {
            let order = std::array::from_fn(|i| OF_32[i % 8] + i as u8 / 8 % 2 * 8);
            separate_rows(s, &order, decisions);
            trace_words::<2>(decisions, steps, states, paths)
        }
        4 => {
            let order = std::array::from_fn(|i| OF_64[i % 16]);
            separate_rows(s, &order, decisions);
            trace_words::<4>(decisions, steps, states, paths)
        }
        8 => trace_in::<8>(decisions, steps, states, paths),
        16 => trace_in::<16>(decisions, steps, states, paths),
        32 => trace_in::<32>(decisions, steps, states, paths),
        _ => trace_in::<64>(decisions, steps, states, paths),
    }
}

/// Brings the decisions of each row of a step together, by the order of the bytes in each half.
#[inline(always)]
fn separate_rows<S: Simd>(s: S, order: &[u8; 32], decisions: &mut [Vec<u32>; PAIRS]) {
    let order = s.load_u8(order);
    for decisions in decisions {
        for words in decisions.as_chunks_mut::<LANES_32>().0 {
            let mut bytes = [0; 4 * LANES_32];
            s.store_u8(s.shuffle_bytes(s.words_u8(*words), order), &mut bytes);
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
        }
    }
}

/// With up to 64 states, all decisions of a row in a step are one word: those of the even states
/// come first from 32 states on. No load waits for a state, and the rows are lanes of vectors.
#[inline(always)]
fn trace_words<const V: usize>(
    decisions: &[Vec<u32>; PAIRS],
    steps: Range<usize>,
    states: [usize; ROWS],
    paths: &mut [Vec<u64>; ROWS],
) -> [usize; ROWS] {
    let highest = (V * STATES / 2).ilog2();
    let mut states = states.map(|state| state as u64);
    for word in (steps.start / 64..steps.end.div_ceil(64)).rev() {
        let first = steps.start.max(64 * word);
        let last = steps.end.min(64 * (word + 1));
        let [low, high] = decisions
            .each_ref()
            .map(|words| &words.as_chunks::<V>().0[first..last]);
        let mut bits = [0u64; ROWS];
        for (low, high) in low.iter().zip(high).rev() {
            let of = |words: &[u32; V]| match V {
                1 => [u64::from(words[0] & 0xffff), u64::from(words[0] >> 16)],
                2 => [u64::from(words[0]), u64::from(words[1])],
                _ => [0, 2].map(|i| u64::from(words[i]) | u64::from(words[i + 1]) << 32),
            };
            let ([a, b], [c, d]) = (of(low), of(high));
            for ((state, bits), is_lower) in states.iter_mut().zip(&mut bits).zip([a, b, c, d]) {
                let half = *state >> 1;
                let bit = match V {
                    1 => *state,
                    _ => half | (*state & 1) << highest,
                };
                let leaves = !(is_lower >> bit) & 1;
                *state = half | leaves << highest;
                *bits = *bits << 1 | leaves;
            }
        }
        for (path, bits) in paths.iter_mut().zip(bits) {
            path[word] = bits << (first - 64 * word);
        }
    }
    states.map(|state| state as usize)
}

/// With V words of decisions in each step.
#[inline(always)]
fn trace_in<const V: usize>(
    decisions: &[Vec<u32>; PAIRS],
    steps: Range<usize>,
    mut states: [usize; ROWS],
    paths: &mut [Vec<u64>; ROWS],
) -> [usize; ROWS] {
    let highest = (V * STATES / 2).ilog2();
    for word in (steps.start / 64..steps.end.div_ceil(64)).rev() {
        let first = steps.start.max(64 * word);
        let last = steps.end.min(64 * (word + 1));
        let [low, high] = decisions
            .each_ref()
            .map(|words| &words.as_chunks::<V>().0[first..last]);
        let mut bits = [0u64; ROWS];
        for (low, high) in low.iter().zip(high).rev() {
            for (row, (state, bits)) in states.iter_mut().zip(&mut bits).enumerate() {
                let words = if row < 2 { low } else { high };
                let half = *state >> 1;
                let word = half / STATES * 2 + *state % 2;
                let is_lower = words[word % V] >> (half % STATES + row % 2 * STATES);
                let leaves = !is_lower & 1;
                *state = half | (leaves as usize) << highest;
                *bits = *bits << 1 | u64::from(leaves);
            }
        }
        for (path, bits) in paths.iter_mut().zip(bits) {
            path[word] = bits << (first - 64 * word);
        }
    }
    states
}
