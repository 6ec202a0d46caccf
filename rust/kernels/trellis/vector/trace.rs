//! The paths that decisions name, from their ends.

use std::ops::Range;

use super::tables::STATES;

/// Traces the paths of N rows, two to each of `decisions`, through some steps, from the state after
/// the last of them. Returns the states before the first.
///
/// Bit k mod 64 of word ⌊k/64⌋ of a path becomes the bit that leaves the register in step k; bits
/// of other steps in the first and the last word become 0.
#[inline(always)]
pub fn trace<const N: usize>(
    vectors: usize,
    decisions: &[Vec<u32>; 2],
    steps: Range<usize>,
    states: [usize; N],
    paths: &mut [Vec<u64>],
) -> [usize; N] {
    match vectors {
        1 => trace_in::<1, N>(decisions, steps, states, paths),
        2 => trace_in::<2, N>(decisions, steps, states, paths),
        4 => trace_in::<4, N>(decisions, steps, states, paths),
        8 => trace_in::<8, N>(decisions, steps, states, paths),
        16 => trace_in::<16, N>(decisions, steps, states, paths),
        32 => trace_in::<32, N>(decisions, steps, states, paths),
        _ => trace_in::<64, N>(decisions, steps, states, paths),
    }
}

/// With V words of decisions in each step.
#[inline(always)]
fn trace_in<const V: usize, const N: usize>(
    decisions: &[Vec<u32>; 2],
    steps: Range<usize>,
    mut states: [usize; N],
    paths: &mut [Vec<u64>],
) -> [usize; N] {
    let highest = V * STATES / 2;
    let decisions = decisions.each_ref().map(|words| words.as_chunks::<V>().0);
    for word in (steps.start / 64..steps.end.div_ceil(64)).rev() {
        let first = steps.start.max(64 * word);
        let last = steps.end.min(64 * (word + 1));
        let of_pair = |pair: usize| &decisions[pair][first..last];
        let (low, high) = (of_pair(0), of_pair(if N > 2 { 1 } else { 0 }));
        let mut bits = [0u64; N];
        for (low, high) in low.iter().zip(high).rev() {
            for row in 0..N {
                let words = if row < 2 { low } else { high };
                let state = states[row];
                let (word, bit) = if V == 1 {
                    (0, state)
                } else {
                    (state / 2 / STATES * 2 + state % 2, state / 2 % STATES)
                };
                let is_lower = words[word % V] >> (bit % STATES + row % 2 * STATES) & 1;
                let leaves = u64::from(is_lower ^ 1);
                states[row] = state / 2 + leaves as usize * highest;
                bits[row] = bits[row] << 1 | leaves;
            }
        }
        for (path, bits) in paths.iter_mut().zip(bits) {
            path[word] = bits << (first - 64 * word);
        }
    }
    states
}
