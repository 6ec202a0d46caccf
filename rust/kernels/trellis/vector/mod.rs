//! Two rows in the halves of a vector, and four rows at a time.

mod finish;
mod search;
mod tables;
mod trace;

pub use tables::Tables;

use finish::Choice;
use search::{Front, best_states, search, vectors};
use trace::trace;

use super::code::LABELS;
use super::scalar::{self, FEW_STEPS};
use super::{Code, Workspace};
use crate::kernels::simd::{BYTES, LANES_32, Simd};

/// Rows that are searched together.
const ROWS: usize = 4;

/// The search of some rows.
#[derive(Debug, Default, Clone)]
pub struct Work {
    /// q + 4·unit of each row, which begins with the steps before its first one.
    rows: [Vec<u16>; ROWS],
    /// The decisions of two rows, in the order of [`search`].
    decisions: [Vec<u32>; 2],
    front: Front,
    /// The bits of each path that leave the register, those of step k at bit k.
    paths: [Vec<u64>; ROWS],
    choice: Choice,
    /// At the place of each coordinate, the squared distances to the nearest codewords of the
    /// labels.
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
    let groups = u
        .chunks(ROWS * dim)
        .zip(packed.chunks_mut(ROWS * row_bytes));
    for (u, packed) in groups {
        let rows = u.chunks_exact(dim).zip(packed.chunks_exact_mut(row_bytes));
        if steps < code.memory {
            for (u, packed) in rows {
                scalar::assign_row(code, u, &mut work.scalar, packed);
            }
        } else if steps < FEW_STEPS {
            for (u, packed) in rows {
                assign_few_steps(s, code, u, &mut work.vector, packed);
            }
        } else if u.len() <= 2 * dim {
            assign_rows::<S, 2>(s, code, dim, u, &mut work.vector, packed);
        } else {
            assign_rows::<S, ROWS>(s, code, dim, u, &mut work.vector, packed);
        }
    }
}

/// Assigns up to N rows, where N is 2 or 4.
#[inline(always)]
fn assign_rows<S: Simd, const N: usize>(
    s: S,
    code: &Code,
    dim: usize,
    u: &[f32],
    work: &mut Work,
    packed: &mut [u8],
) {
    let Work {
        rows,
        decisions,
        front,
        paths,
        choice,
        ..
    } = work;
    let (steps, per_step) = (code.steps(dim), code.coordinates_per_step());
    let window = code.window(dim);
    let before = window * per_step;
    let count = u.len() / dim;
    for (row, u) in rows.iter_mut().zip(u.chunks_exact(dim)) {
        to_integers(s, code, steps, window, u, row);
    }
    reserve(code, steps, decisions, paths);
    // Where rows lack, the last one is searched in their place.
    let pair = |pair: usize| [2 * pair, 2 * pair + 1].map(|row| &rows[row.min(count - 1)][..]);
    let mut states = [0; N];
    for (i, decisions) in decisions[..N / 2].iter_mut().enumerate() {
        let around = pair(i).map(|row| &row[..2 * before]);
        search(s, code, around, None, front, decisions);
        states[2 * i..][..2].copy_from_slice(&best_states(s, front));
    }
    let states = trace(vectors(code), decisions, window..2 * window, states, paths);
    for (i, decisions) in decisions[..N / 2].iter_mut().enumerate() {
        let row = pair(i).map(|row| &row[before..][..steps * per_step]);
        search(
            s,
            code,
            row,
            Some([states[2 * i], states[2 * i + 1]]),
            front,
            decisions,
        );
    }
    trace(vectors(code), decisions, code.memory..steps, states, paths);
    let packed = packed.chunks_exact_mut(code.row_bytes(dim));
    for (((row, path), state), packed) in rows.iter().zip(paths).zip(states).zip(packed) {
        close(code, steps, state, path);
        finish::finish(s, code, dim, &row[before..], path, choice, packed);
    }
}

/// Assigns a row that tries every first state, two at a time.
#[inline(always)]
fn assign_few_steps<S: Simd>(s: S, code: &Code, u: &[f32], work: &mut Work, packed: &mut [u8]) {
    let Work {
        rows,
        decisions,
        front,
        paths,
        choice,
        distances,
    } = work;
    let (dim, steps) = (u.len(), code.steps(u.len()));
    let row = &mut rows[0];
    to_integers(s, code, steps, 0, u, row);
    reserve(code, steps, decisions, paths);
    distances.clear();
    distances.resize(row.len(), [0; LABELS]);
    for (i, &q) in row[..dim].iter().enumerate() {
        let nearest = |label| code.distance(q, code.nearest(q, label as u8)) as u32;
        distances[finish::place(i)] = std::array::from_fn(nearest);
    }
    let searched = &row[..steps * code.coordinates_per_step()];
    let mut least = u64::MAX;
    for first in (0..1 << code.memory).step_by(2) {
        let states = [first, first + 1];
        search(
            s,
            code,
            [searched; 2],
            Some(states),
            front,
            &mut decisions[0],
        );
        trace(
            vectors(code),
            decisions,
            code.memory..steps,
            states,
            &mut paths[..2],
        );
        for (i, state) in states.into_iter().enumerate() {
            close(code, steps, state, &mut paths[i]);
            finish::find_labels(code, steps, &paths[i], choice);
            let labels = choice.labels.iter().flat_map(|labels| labels.0);
            let errors = labels.zip(&*distances);
            let errors = errors.map(|(label, of)| u64::from(of[usize::from(label) % LABELS]));
            let error = errors.sum();
            if error < least {
                least = error;
                paths.swap(i, 2);
            }
        }
    }
    finish::finish(s, code, dim, row, &paths[2], choice, packed);
}

/// Makes room for the decisions and for the paths.
#[inline(always)]
fn reserve(code: &Code, steps: usize, decisions: &mut [Vec<u32>; 2], paths: &mut [Vec<u64>; ROWS]) {
    for decisions in decisions {
        decisions.resize(steps * vectors(code), 0);
    }
    for path in paths {
        // Packing reads one word more than the bits of the path.
        path.clear();
        path.resize((steps + code.memory).div_ceil(64) + 1, 0);
    }
}

/// Adds the bits of the state in which a path begins and ends to the bits that leave the register
/// from step ν on: they leave in the first ν steps and after the last.
#[inline(always)]
fn close(code: &Code, steps: usize, state: usize, path: &mut [u64]) {
    let state = (state as u64).reverse_bits() >> (64 - code.memory);
    path[0] |= state;
    path[steps / 64] |= state << (steps % 64);
    if steps % 64 > 0 {
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
