//! The definition.

use std::ops::Range;

use super::labels::LABELS;
use super::{Code, Workspace};

/// Rows of fewer steps than this try every first state.
pub const FEW_STEPS: usize = 32;
/// Every so many steps the metrics are reduced.
pub const STEPS_PER_REDUCTION: usize = 4;

/// The search of a row.
#[derive(Debug, Default, Clone)]
pub struct Work {
    /// q + 4·unit of the row.
    integers: Vec<u16>,
    /// \[step\]\[state\]: whether the path comes from the higher predecessor.
    decisions: Vec<u8>,
    /// Metrics of all states before and after a step.
    metrics: [Vec<u8>; 2],
    /// The words that a path chooses, and those of the best path so far.
    chosen: [Vec<u8>; 2],
    /// The bits of a path, and those of the best path so far.
    path: [Vec<u8>; 2],
}

#[inline(always)]
pub fn assign(code: &Code, dim: usize, u: &[f32], work: &mut Workspace, packed: &mut [u8]) {
    let row_bytes = code.row_bytes(dim);
    assert_eq!(
        u.len() * row_bytes,
        packed.len() * dim,
        "rows and their bytes"
    );
    for (u, packed) in u.chunks_exact(dim).zip(packed.chunks_exact_mut(row_bytes)) {
        assign_row(code, u, &mut work.scalar, packed);
    }
}

/// Finds the code of one row.
#[inline(always)]
pub fn assign_row(code: &Code, u: &[f32], work: &mut Work, packed: &mut [u8]) {
    let steps = code.steps(u.len());
    to_integers(code, u, &mut work.integers);
    if steps < code.memory {
        let end = search(code, work, 0..steps, Some(0));
        trace(code, work, steps, end);
    } else if steps < FEW_STEPS {
        let mut least = u64::MAX;
        for state in 0..1 << code.memory {
            search(code, work, 0..steps, Some(state));
            let first = trace(code, work, steps, state);
            debug_assert_eq!(first, state, "a path begins where it has to");
            let error = error(code, work);
            if error < least {
                least = error;
                work.path.swap(0, 1);
                work.chosen.swap(0, 1);
            }
        }
        work.path.swap(0, 1);
        work.chosen.swap(0, 1);
    } else {
        let state = first_state(code, work, steps, code.window(u.len()));
        search(code, work, 0..steps, Some(state));
        let first = trace(code, work, steps, state);
        debug_assert_eq!(first, state, "a path begins where it has to");
    }
    pack(code, work, packed);
}

/// q + 4·unit of each coordinate.
#[inline(always)]
fn to_integers(code: &Code, u: &[f32], integers: &mut Vec<u16>) {
    let unit = f32::from(code.unit);
    let most = 4.0 * unit;
    integers.clear();
    integers.extend(u.iter().map(|&u| {
        let q = (u * unit).clamp(-most, most).round_ties_even();
        (q + most) as u16
    }));
}

/// The state between the last and the first step of the best circular path, as far as the steps
/// around it show.
#[inline(always)]
fn first_state(code: &Code, work: &mut Work, steps: usize, window: usize) -> usize {
    let around = steps - window..steps + window;
    let end = search(code, work, around.clone(), None);
    let mut state = end;
    for k in (window..around.len()).rev() {
        state = window_of(code, work, k, state) >> 1;
    }
    state
}

/// Searches the paths of some steps, numbered around the circle, from a state or from any. Returns
/// the state with the least metric, among those that a path from state 0 of so few steps can reach
/// where there are fewer than ν.
#[inline(always)]
fn search(code: &Code, work: &mut Work, around: Range<usize>, from: Option<usize>) -> usize {
    let states = 1 << code.memory;
    let Work {
        integers,
        decisions,
        metrics: [old, new],
        ..
    } = work;
    let count = around.len();
    let all = code.steps(integers.len());
    decisions.resize(count * states, 0);
    old.clear();
    old.resize(states, 0);
    new.resize(states, 0);
    let mut least = 0;
    for ((k, step), decisions) in (around.enumerate()).zip(decisions.chunks_exact_mut(states)) {
        let which = code.coordinates(integers.len(), step % all);
        let metric = &code.metrics[integers[which.start] as usize];
        let forced = from.filter(|_| k < code.memory);
        let forced = forced.map(|state| state >> (code.memory - 1 - k) & 1);
        for (state, (new, decision)) in new.iter_mut().zip(decisions).enumerate() {
            let path = |higher: usize| {
                let label = code.labels[state + higher * states];
                old[state / 2 + higher * states / 2].saturating_add(metric[usize::from(label)])
            };
            let (a, b) = (path(0), path(1));
            let higher = forced.map_or(b < a, |forced| forced == 1);
            *decision = u8::from(higher);
            *new = if higher { b } else { a };
        }
        if let (Some(labels), 2) = (&code.between, which.len()) {
            let metric = &code.metrics[integers[which.start + 1] as usize];
            for (new, &label) in new.iter_mut().zip(labels) {
                *new = new.saturating_add(metric[usize::from(label)]);
            }
        }
        if k % STEPS_PER_REDUCTION == STEPS_PER_REDUCTION - 1 {
            new.iter_mut().for_each(|metric| *metric -= least);
            least = new.iter().copied().min().unwrap_or(0);
        }
        std::mem::swap(old, new);
    }
    let reached = states.min(1 << count.min(code.memory));
    let best = (0..reached).min_by_key(|&state| old[state]);
    best.unwrap_or(0)
}

/// The window of step k of the search, after which the path is in this state.
#[inline(always)]
fn window_of(code: &Code, work: &Work, k: usize, state: usize) -> usize {
    let decision = work.decisions[(k << code.memory) + state];
    state | usize::from(decision) << code.memory
}

/// Traces the path that ends in this state, over all steps of the row, and chooses its words.
/// Returns the state where it begins.
#[inline(always)]
fn trace(code: &Code, work: &mut Work, steps: usize, end: usize) -> usize {
    let dim = work.integers.len();
    work.path[0].resize(steps, 0);
    work.chosen[0].resize(dim, 0);
    let mut state = end;
    for step in (0..steps).rev() {
        work.path[0][step] = (state & 1) as u8;
        state = window_of(code, work, step, state) >> 1;
    }
    let path = |step: usize| usize::from(work.path[0][step]);
    follow(code, dim, path, |at, label| {
        work.chosen[0][at] = code.nearest(work.integers[at], label);
    });
    state
}

/// Follows the path of a row of `dim` coordinates, given by its bits, and says the label of each
/// coordinate.
#[inline(always)]
pub fn follow(
    code: &Code,
    dim: usize,
    bit: impl Fn(usize) -> usize,
    mut say: impl FnMut(usize, u8),
) {
    let steps = code.steps(dim);
    let is_circular = steps >= code.memory;
    // The state before the first step: its bit i is the bit of the path i + 1 steps before.
    let before = (0..code.memory).filter(|_| is_circular);
    let mut state = before.map(|i| bit(steps - 1 - i) << i).sum::<usize>();
    for step in 0..steps {
        let window = state << 1 | bit(step);
        state = window & ((1 << code.memory) - 1);
        let between = code.between.as_ref().map(|between| between[state]);
        let labels = [Some(code.labels[window]), between];
        for (at, label) in (code.coordinates(dim, step)).zip(labels.into_iter().flatten()) {
            say(at, label);
        }
    }
}

/// The sum of D of the words that the last path chose.
#[inline(always)]
fn error(code: &Code, work: &Work) -> u64 {
    let chosen = work.integers.iter().zip(&work.chosen[0]);
    chosen
        .map(|(&q, &index)| u64::from(code.distance(q, index)))
        .sum()
}

/// Writes the bits of the last path and the planes of uncoded bits.
#[inline(always)]
fn pack(code: &Code, work: &Work, packed: &mut [u8]) {
    packed.fill(0);
    let path = work.path[0].iter().copied();
    let planes = (0..code.uncoded).flat_map(|plane| {
        let words = work.chosen[0].iter();
        words.map(move |word| (word / LABELS as u8) >> plane & 1)
    });
    for (at, bit) in path.chain(planes).enumerate() {
        packed[at / 8] |= bit << (at % 8);
    }
}
