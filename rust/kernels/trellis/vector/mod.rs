//! Two rows in the halves of a vector, and four rows at a time.

mod finish;
mod search;
mod tables;
mod trace;

pub use tables::Tables;

use finish::Choice;
use search::{Front, best_states, search, vectors};
use trace::trace;

use super::labels::LABELS;
use super::scalar::{self, FEW_STEPS};
use super::{Code, Workspace};
use crate::kernels::simd::{BYTES, LANES_32, Simd};

/// Rows that are searched together, two at a time.
const ROWS: usize = 2 * PAIRS;
const PAIRS: usize = 2;

/// The search of some rows.
#[derive(Debug, Default, Clone)]
pub struct Work {
    /// q + 4·unit of each row, which begins with the steps before its first one.
    rows: [Vec<u16>; ROWS],
    /// The decisions of two rows, in the order of [`search`].
    decisions: [Vec<u32>; PAIRS],
    front: Front,
    /// The bits of each path that leave the register, those of step k at bit k.
    paths: [Vec<u64>; ROWS],
    /// The path with the least error among those from different first states.
    best: Vec<u64>,
    choice: Choice,
    /// For each coordinate the squared distances to the nearest codewords of the labels.
    distances: Vec<[u32; LABELS]>,
}

#[inline(always)]
pub fn assign<S: Simd>(
    s: S,
    code: &Code,
    dim: usize,
    u: &[f32],
    work: &mut Workspace,
    packed: &mut [u8],
) {
    let row_bytes = code.row_bytes(dim);
    assert_eq!(
        u.len() * row_bytes,
        packed.len() * dim,
        "rows and their bytes"
    );
    let steps = code.steps(dim);
    if steps < code.memory {
        return scalar::assign(code, dim, u, work, packed);
    }
    // Few steps try every first state of a row, instead of the one state of each row.
    let rows = if steps < FEW_STEPS { 1 } else { ROWS };
    let groups = u
        .chunks(rows * dim)
        .zip(packed.chunks_mut(rows * row_bytes));
    for (u, packed) in groups {
        assign_rows(s, code, dim, u, &mut work.vector, packed);
    }
}

/// Assigns up to four rows, or one of few steps, of at least ν.
#[inline(always)]
fn assign_rows<S: Simd>(
    s: S,
    code: &Code,
    dim: usize,
    u: &[f32],
    work: &mut Work,
    packed: &mut [u8],
) {
    let (steps, per_step) = (code.steps(dim), code.coordinates_per_step());
    let (is_few, states) = (steps < FEW_STEPS, 1 << code.memory);
    let window = if is_few { 0 } else { code.window(dim) };
    let before = window * per_step;
    work.prepare(s, code, dim, window, u);
    let Work {
        rows,
        decisions,
        front,
        paths,
        best,
        choice,
        distances,
    } = work;
    let count = u.len() / dim;
    // An odd row is searched one step further, which means nothing.
    let even = steps.next_multiple_of(2);
    let (row, traced) = (before..before + even * per_step, code.memory..steps);
    // The first states of four rows, or four first states of one row.
    let mut first = [0, 1, 2, 3];
    let (rounds, pairs) = if is_few {
        (states / ROWS, PAIRS)
    } else {
        (2, count.div_ceil(2))
    };
    let mut least = u64::MAX;
    for round in 0..rounds {
        let is_free = !is_few && round == 0;
        let (searched, traced) = if is_free {
            (0..2 * before, window..2 * window)
        } else {
            (row.clone(), traced.clone())
        };
        let mut ends = first;
        for (pair, decisions) in decisions[..pairs].iter_mut().enumerate() {
            // Where rows lack, the last one is searched in their place.
            let of = |i: usize| &rows[(2 * pair + i).min(count - 1)][searched.clone()];
            let from = [first[2 * pair], first[2 * pair + 1]];
            let from = Some(from).filter(|_| !is_free);
            search(s, code, [of(0), of(1)], from, front, decisions);
            if is_free {
                ends[2 * pair..][..2].copy_from_slice(&best_states(s, front));
            }
        }
        let begins = trace(s, code, decisions, traced, ends, paths);
        if is_free {
            first = begins;
            // The free search can be longer than the row, whose bits would not cover its own.
            paths.iter_mut().for_each(|path| path.fill(0));
            continue;
        }
        for (path, first) in paths.iter_mut().zip(first) {
            close(code, steps, first, path);
        }
        if is_few {
            for path in paths.iter_mut() {
                let error = error(code, steps, path, choice, distances);
                if error < least {
                    least = error;
                    std::mem::swap(path, best);
                }
            }
            first = first.map(|state| state + ROWS);
        }
    }
    if is_few {
        std::mem::swap(&mut paths[0], best);
    }
    let packed = packed.chunks_exact_mut(code.row_bytes(dim));
    for ((row, path), packed) in rows.iter().zip(paths).zip(packed) {
        finish::finish(s, code, dim, &row[before..], path, choice, packed);
    }
}

impl Work {
    /// Writes the integers of some rows, and makes room for the search.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, s: S, code: &Code, dim: usize, window: usize, u: &[f32]) {
        let steps = code.steps(dim);
        for (row, u) in self.rows.iter_mut().zip(u.chunks_exact(dim)) {
            to_integers(s, code, steps, window, u, row);
        }
        for path in self.paths.iter_mut().chain([&mut self.best]) {
            // Packing reads one word more than the bits of the path.
            path.clear();
            path.resize((steps + code.memory).div_ceil(64) + 1, 0);
        }
        let searched = steps.next_multiple_of(2).max(2 * window);
        for decisions in &mut self.decisions {
            decisions.resize(searched * vectors(code) + trace::WORDS_READ, 0);
        }
        self.distances.clear();
        if steps < FEW_STEPS {
            self.distances.resize(self.rows[0].len(), [0; LABELS]);
            for (distances, &q) in self.distances.iter_mut().zip(&self.rows[0][..dim]) {
                *distances = code.least_distances(q);
            }
        }
    }
}

/// The sum of the squared distances of the coordinates to the words on a path.
#[inline(always)]
fn error(
    code: &Code,
    steps: usize,
    path: &[u64],
    choice: &mut Choice,
    distances: &[[u32; LABELS]],
) -> u64 {
    finish::find_labels(code, steps, path, choice);
    let labels = choice.labels.iter().flat_map(|labels| labels.0);
    let errors = labels.zip(distances);
    errors
        .map(|(label, of)| u64::from(of[usize::from(label) % LABELS]))
        .sum()
}

/// Adds the bits of the state in which a path begins and ends to the bits that leave the register
/// from step ν on: they leave in the first ν steps and after the last.
#[inline(always)]
fn close(code: &Code, steps: usize, state: usize, path: &mut [u64]) {
    let state = (state as u64).reverse_bits() >> (64 - code.memory);
    path[0] |= state;
    path[steps / 64] |= state << (steps % 64);
    if !steps.is_multiple_of(64) {
        path[steps / 64 + 1] |= state >> (64 - steps % 64);
    }
}

/// q + 4·unit of a row, after those of its last `window` steps, and up to a whole vector.
#[inline(always)]
fn to_integers<S: Simd>(
    s: S,
    code: &Code,
    steps: usize,
    window: usize,
    u: &[f32],
    row: &mut Vec<u16>,
) {
    let before = window * code.coordinates_per_step();
    let all = steps * code.coordinates_per_step();
    row.clear();
    row.resize(before + all.next_multiple_of(BYTES), 0);
    let unit = f32::from(code.unit);
    let (most, least) = (s.splat(4.0 * unit), s.splat(-4.0 * unit));
    let unit = s.splat(unit);
    let (to, _) = row[before..].as_chunks_mut::<LANES_32>();
    let (whole, rest) = u.as_chunks::<LANES_32>();
    let mut last = [0.0; LANES_32];
    last[..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { None } else { Some(&last) };
    for (u, to) in whole.iter().chain(last).zip(to) {
        let q = s.min(s.max(s.mul(s.load(u), unit), least), most);
        let q = s.add(s.round_ties_even(q), most);
        s.store_i32_as_u16(s.to_i32(q), to);
    }
    // The last step of an odd number of coordinates has one that the row does not have.
    row[before..][u.len()..all].fill(8 * code.unit + 1);
    row.copy_within(all..all + before, 0);
}
