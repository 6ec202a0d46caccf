//! The paths that decisions name, from their ends.

use std::ops::Range;

use super::search::vectors;
use super::tables::STATES;
use super::{PAIRS, ROWS};
use crate::kernels::simd::{BYTES, LANES_32, Simd};
use crate::kernels::trellis::Code;

/// Traces the paths of four rows, two to each of `decisions`, through some steps, from the state
/// after the last of them. Returns the states before the first. Decisions are whole vectors, and
/// come back with the two rows apart.
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
    let count = (steps.end * vectors(code)).next_multiple_of(LANES_32);
    separate_rows(
        s,
        code,
        decisions.each_mut().map(|words| &mut words[..count]),
    );
    match vectors(code) {
        1 => trace_in::<1, 1>(decisions, steps, states, paths),
        2 => trace_in::<2, 1>(decisions, steps, states, paths),
        4 => trace_in::<4, 1>(decisions, steps, states, paths),
        8 => trace_in::<8, 2>(decisions, steps, states, paths),
        16 => trace_in::<16, 4>(decisions, steps, states, paths),
        32 => trace_in::<32, 8>(decisions, steps, states, paths),
        _ => trace_in::<64, 16>(decisions, steps, states, paths),
    }
}

/// Brings the decisions of a row in each 64 or 128 bits together: those of four words, or in steps
/// with fewer words those of the step.
#[inline(always)]
fn separate_rows<S: Simd>(s: S, code: &Code, decisions: [&mut [u32]; PAIRS]) {
    const OF_TWO: [u8; 8] = [0, 1, 4, 5, 2, 3, 6, 7];
    const OF_FOUR: [u8; 16] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];
    let order: [u8; BYTES] = match vectors(code) {
        1 => return,
        2 => std::array::from_fn(|i| OF_TWO[i % 8] + i as u8 % 16 / 8 * 8),
        _ => std::array::from_fn(|i| OF_FOUR[i % 16]),
    };
    let order = s.load_u8(&order);
    for decisions in decisions {
        for words in decisions.as_chunks_mut::<LANES_32>().0 {
            let mut bytes = [0; BYTES];
            s.store_u8(s.shuffle_bytes(s.words_u8(*words), order), &mut bytes);
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
        }
    }
}

/// The decisions of two rows in word i of up to 64 decisions, of a step with V words of two rows.
#[inline(always)]
fn word_of<const V: usize>(words: &[u32; V], i: usize) -> [u64; 2] {
    match V {
        1 => [0, 16].map(|row| u64::from(words[0] >> row & 0xffff)),
        2 => [0, 1].map(|row| u64::from(words[row])),
        _ => [0, 2].map(|row| {
            let [low, high] = [0, 1].map(|half| u64::from(words[4 * i + row + half]));
            low | high << 32
        }),
    }
}

/// With V words of decisions in each step, which are W words of 64 decisions of a row.
///
/// No load waits for a state: of W words the one that has the decision is selected by bits of the
/// state. The rows are lanes of vectors, which the compiler finds by itself.
#[inline(always)]
fn trace_in<const V: usize, const W: usize>(
    decisions: &[Vec<u32>; PAIRS],
    steps: Range<usize>,
    states: [usize; ROWS],
    paths: &mut [Vec<u64>; ROWS],
) -> [usize; ROWS] {
    // The bit of a state that its predecessor lacks, and the bits of a place in a word.
    let highest = (V * STATES / 2).ilog2();
    let place = highest.min(6);
    let mut states = states.map(|state| state as u64);
    for word in (steps.start / 64..steps.end.div_ceil(64)).rev() {
        let first = steps.start.max(64 * word);
        let last = steps.end.min(64 * (word + 1));
        let [low, high] = decisions
            .each_ref()
            .map(|words| &words.as_chunks::<V>().0[first..last]);
        let mut bits = [0u64; ROWS];
        for (low, high) in low.iter().zip(high).rev() {
            let mut words = [[0; ROWS]; W];
            for (i, words) in words.iter_mut().enumerate() {
                let ([a, b], [c, d]) = (word_of(low, i), word_of(high, i));
                *words = [a, b, c, d];
            }
            // The even states come first, each by its half; 16 states are in order.
            let mut places = [0; ROWS];
            for (place, state) in places.iter_mut().zip(states) {
                *place = match V {
                    1 => state,
                    _ => state >> 1 | (state & 1) << highest,
                };
            }
            let mut count = W;
            while count > 1 {
                count /= 2;
                let bit = place + count.ilog2();
                for i in 0..count {
                    for row in 0..ROWS {
                        let is_second = (places[row] >> bit & 1).wrapping_neg();
                        let both = words[i][row] ^ words[i + count][row];
                        words[i][row] ^= both & is_second;
                    }
                }
            }
            for row in 0..ROWS {
                let leaves = !(words[0][row] >> (places[row] % 64)) & 1;
                states[row] = states[row] >> 1 | leaves << highest;
                bits[row] = bits[row] << 1 | leaves;
            }
        }
        for (path, bits) in paths.iter_mut().zip(bits) {
            path[word] = bits << (first - 64 * word);
        }
    }
    states.map(|state| state as usize)
}
