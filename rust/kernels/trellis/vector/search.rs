//! The Viterbi search of two rows.

use super::tables::{STATES, Tables, Vector};
use crate::kernels::simd::Simd;
use crate::kernels::trellis::Code;
use crate::kernels::trellis::scalar::STEPS_PER_REDUCTION;

/// Metrics of all states of two rows, one row in each half of a vector.
#[derive(Debug, Default, Clone)]
pub struct Front {
    /// Those after the last step, and those of another one.
    metrics: [Vec<Vector>; 2],
}

/// Vectors of metrics, and of decisions in a step.
pub fn vectors(code: &Code) -> usize {
    (1 << code.memory) / STATES
}

/// Searches the paths of two rows of q + 4·unit, with as many coordinates in all steps, from a
/// state each or from any. The number of steps is even.
///
/// A decision is a bit that says whether the path comes from the lower predecessor. Word v of a
/// step has the even states 2j for j from 16v on, and as many words after all of these have the odd
/// ones; those of the second row begin at bit 16. At 16 states the only word has them in order. The
/// decisions of the first ν steps from a state mean nothing.
#[inline(always)]
pub fn search<S: Simd>(
    s: S,
    code: &Code,
    rows: [&[u16]; 2],
    from: Option<[usize; 2]>,
    front: &mut Front,
    decisions: &mut [u32],
) {
    macro_rules! body {
        ($($body:ident: $($vectors:literal)*;)*) => {
            match (vectors(code), code.between.is_some(), code.vector.is_symmetric) {
                $($(
                    ($vectors, false, true) => {
                        $body::<S, $vectors, 1, true>(s, code, rows, from, front, decisions)
                    }
                    ($vectors, true, true) => {
                        $body::<S, $vectors, 2, true>(s, code, rows, from, front, decisions)
                    }
                    ($vectors, false, false) => {
                        $body::<S, $vectors, 1, false>(s, code, rows, from, front, decisions)
                    }
                    ($vectors, true, false) => {
                        $body::<S, $vectors, 2, false>(s, code, rows, from, front, decisions)
                    }
                )*)*
                _ => unreachable!("16 to 1,024 states"),
            }
        };
    }
    body! {
        in_registers: 1 2 4;
        in_memory: 8 16 32 64;
    }
}

/// V vectors of metrics, which stay in registers, and P coordinates per step.
#[inline(always)]
fn in_registers<S: Simd, const V: usize, const P: usize, const SYMMETRIC: bool>(
    s: S,
    code: &Code,
    rows: [&[u16]; 2],
    from: Option<[usize; 2]>,
    front: &mut Front,
    decisions: &mut [u32],
) {
    let (tables, table) = (&code.vector, &code.metrics[..]);
    let rows = rows.map(|row| row.as_chunks::<P>().0);
    let (decisions, _) = decisions.as_chunks_mut::<V>();
    let steps = rows[0].len();
    let all = Butterflies {
        first: 0,
        stride: 1,
    };
    let mut metrics = [s.splat_i16(0); V];
    let mut least = s.splat_i16(0);
    let mut k = 0;
    if let Some(states) = from {
        while k < steps && (k < code.memory || k % STEPS_PER_REDUCTION != 0) {
            let labels = labels_of(s, table, [&rows[0][k], &rows[1][k]]);
            let forced = Some(forced(s, code, states, k));
            let to = &mut decisions[k];
            metrics = step::<S, V, V, P, SYMMETRIC>(s, tables, all, forced, labels, metrics, to);
            k += 1;
            if k % STEPS_PER_REDUCTION == 0 {
                reduce(s, &mut metrics, &mut least);
            }
        }
    }
    let (first, rest) = rows[0][k..].as_chunks::<STEPS_PER_REDUCTION>();
    let (second, rest_of_second) = rows[1][k..].as_chunks::<STEPS_PER_REDUCTION>();
    let (groups, last) = decisions[k..steps].as_chunks_mut::<STEPS_PER_REDUCTION>();
    for ((first, second), decisions) in first.iter().zip(second).zip(groups) {
        for i in 0..STEPS_PER_REDUCTION {
            let labels = labels_of(s, table, [&first[i], &second[i]]);
            let to = &mut decisions[i];
            metrics = step::<S, V, V, P, SYMMETRIC>(s, tables, all, None, labels, metrics, to);
        }
        reduce(s, &mut metrics, &mut least);
    }
    for ((first, second), to) in rest.iter().zip(rest_of_second).zip(last) {
        let labels = labels_of(s, table, [first, second]);
        metrics = step::<S, V, V, P, SYMMETRIC>(s, tables, all, None, labels, metrics, to);
    }
    front.metrics[0].resize(V, Vector::default());
    for (metrics, to) in metrics.iter().zip(&mut front.metrics[0]) {
        s.store_u8(*metrics, &mut to.0);
    }
}

/// More vectors of metrics: those before and after each two steps are in memory.
///
/// Vectors v, v + V/4, v + V/2 and v + 3V/4 lead in two steps to the vectors 4v to 4v + 3, so that
/// these stay in registers from one step to the next.
#[inline(always)]
fn in_memory<S: Simd, const V: usize, const P: usize, const SYMMETRIC: bool>(
    s: S,
    code: &Code,
    rows: [&[u16]; 2],
    from: Option<[usize; 2]>,
    front: &mut Front,
    decisions: &mut [u32],
) {
    let rows = rows.map(|row| row.as_chunks::<P>().0.as_chunks::<2>().0);
    let (decisions, _) = decisions.as_chunks_mut::<V>();
    let (decisions, _) = decisions.as_chunks_mut::<2>();
    let [old, new] = &mut front.metrics;
    old.clear();
    old.resize(V, Vector::default());
    new.resize(V, Vector::default());
    let (mut old, mut new) = (
        &mut old.as_chunks_mut::<V>().0[0],
        &mut new.as_chunks_mut::<V>().0[0],
    );
    let mut least = s.splat_i16(0);
    let pairs = rows[0].iter().zip(rows[1]).enumerate();
    for ((pair, (first, second)), decisions) in pairs.zip(decisions) {
        let k = 2 * pair;
        let table = &code.metrics[..];
        let labels = [
            labels_of(s, table, [&first[0], &second[0]]),
            labels_of(s, table, [&first[1], &second[1]]),
        ];
        let is_reduction = k % STEPS_PER_REDUCTION == STEPS_PER_REDUCTION - 2;
        let from = from.filter(|_| k < code.memory);
        // Each kind of step is compiled for itself.
        let (tables, none) = (&code.vector, s.splat_i16(0));
        let folded = if let Some(states) = from {
            let forced = [
                Some(forced(s, code, states, k)),
                Some(forced(s, code, states, k + 1)),
            ];
            let besides = (forced, Some(if is_reduction { least } else { none }));
            two_steps::<S, V, P, SYMMETRIC>(s, tables, besides, labels, old, new, decisions)
        } else if is_reduction {
            let besides = ([None; 2], Some(least));
            two_steps::<S, V, P, SYMMETRIC>(s, tables, besides, labels, old, new, decisions)
        } else {
            let besides = ([None; 2], None);
            two_steps::<S, V, P, SYMMETRIC>(s, tables, besides, labels, old, new, decisions)
        };
        if is_reduction {
            least = s.reduce_min_halves_u8(folded);
        }
        std::mem::swap(&mut old, &mut new);
    }
    if rows[0].len() % 2 == 1 {
        front.metrics.swap(0, 1);
    }
}

/// What two steps do besides adding, comparing and selecting: each excludes predecessors, and the
/// second one subtracts.
type Besides<V> = ([Option<[V; 2]>; 2], Option<V>);

/// Two steps, with metrics in memory. Returns the least of the vectors, if something is subtracted.
#[inline(always)]
fn two_steps<S: Simd, const V: usize, const P: usize, const SYMMETRIC: bool>(
    s: S,
    tables: &Tables,
    (forced, subtracted): Besides<S::I16x16>,
    labels: [[S::I16x16; P]; 2],
    old: &[Vector; V],
    new: &mut [Vector; V],
    decisions: &mut [[u32; V]; 2],
) -> S::I16x16 {
    let mut folded = s.splat_i16(-1);
    for v in 0..V / 4 {
        let mut metrics = [s.splat_i16(0); 4];
        for (i, metrics) in metrics.iter_mut().enumerate() {
            *metrics = s.load_u8(&old[v + i * V / 4].0);
        }
        let which = [(v, V / 4), (2 * v, 1)];
        for (i, (first, stride)) in which.into_iter().enumerate() {
            let (which, to) = (Butterflies { first, stride }, &mut decisions[i]);
            let (forced, labels) = (forced[i], labels[i]);
            metrics = step::<S, V, 4, P, SYMMETRIC>(s, tables, which, forced, labels, metrics, to);
        }
        for (i, mut metrics) in metrics.into_iter().enumerate() {
            if let Some(subtracted) = subtracted {
                metrics = s.sub_u8(metrics, subtracted);
                folded = s.min_u8(folded, metrics);
            }
            s.store_u8(metrics, &mut new[4 * v + i].0);
        }
    }
    folded
}

/// What excludes the paths from the lower and from the higher predecessors in step k, so that all
/// paths begin in a state; nothing from step ν on.
#[inline(always)]
fn forced<S: Simd>(s: S, code: &Code, states: [usize; 2], k: usize) -> [S::I16x16; 2] {
    const EXCLUDED: [[u8; STATES]; 2] = [[0; STATES], [255; STATES]];
    let Some(bit) = (code.memory - 1).checked_sub(k) else {
        return [s.splat_i16(0); 2];
    };
    let higher = states.map(|state| state >> bit & 1);
    let lower = s.load_halves_u8([&EXCLUDED[higher[0]], &EXCLUDED[higher[1]]]);
    let higher = s.load_halves_u8([&EXCLUDED[1 - higher[0]], &EXCLUDED[1 - higher[1]]]);
    [lower, higher]
}

/// Which of the vectors of lower predecessors a step begins with: first, first + stride, …
#[derive(Clone, Copy)]
struct Butterflies {
    first: usize,
    stride: usize,
}

/// One step of N of the V vectors of metrics: the lower predecessors, then the higher ones. The
/// vector v of lower ones leads to the vectors 2v and 2v + 1.
#[inline(always)]
fn step<S: Simd, const V: usize, const N: usize, const P: usize, const SYMMETRIC: bool>(
    s: S,
    tables: &Tables,
    which: Butterflies,
    forced: Option<[S::I16x16; 2]>,
    labels: [S::I16x16; P],
    old: [S::I16x16; N],
    decisions: &mut [u32; V],
) -> [S::I16x16; N] {
    let mut new = old;
    if V == 1 {
        let [low, high] = &tables.shuffles.as_chunks().0[0];
        let added = [
            s.shuffle_bytes(labels[0], s.load_u8(&low.0)),
            s.shuffle_bytes(labels[0], s.load_u8(&high.0)),
        ];
        let predecessors = s.interleave_u8(old[0], old[0]);
        (new[0], decisions[0]) = choose(s, forced, predecessors, added);
    }
    let windows = &tables.shuffles.as_chunks::<4>().0[..V / 2];
    for i in 0..N / 2 {
        let v = which.first + i * which.stride;
        let mut added = [labels[0]; 4];
        for (added, windows) in added.iter_mut().zip(&windows[v]) {
            *added = s.shuffle_bytes(labels[0], s.load_u8(&windows.0));
        }
        let [even_low, even_high, odd_low, odd_high] = added;
        let odd = if SYMMETRIC {
            [even_high, even_low]
        } else {
            [odd_low, odd_high]
        };
        let pair = [old[i], old[N / 2 + i]];
        let (even, of_even) = choose(s, forced, pair, [even_low, even_high]);
        let (odd, of_odd) = choose(s, forced, pair, odd);
        (decisions[v], decisions[V / 2 + v]) = (of_even, of_odd);
        [new[2 * i], new[2 * i + 1]] = s.interleave_u8(even, odd);
    }
    if P == 2 {
        for (i, new) in new.iter_mut().enumerate() {
            let v = if V == 1 {
                0
            } else {
                2 * (which.first + i / 2 * which.stride) + i % 2
            };
            let windows = s.load_u8(&tables.between[v].0);
            *new = s.add_saturating_u8(*new, s.shuffle_bytes(labels[P - 1], windows));
        }
    }
    new
}

/// The least metrics of paths by way of the lower and of the higher predecessors, and which of
/// them come from the lower ones.
#[inline(always)]
fn choose<S: Simd>(
    s: S,
    forced: Option<[S::I16x16; 2]>,
    [lower, higher]: [S::I16x16; 2],
    added: [S::I16x16; 2],
) -> (S::I16x16, u32) {
    let mut a = s.add_saturating_u8(lower, added[0]);
    let mut b = s.add_saturating_u8(higher, added[1]);
    if let Some([excluded, excluded_higher]) = forced {
        a = s.or_u8(a, excluded);
        b = s.or_u8(b, excluded_higher);
    }
    let least = s.min_u8(a, b);
    (least, s.movemask_u8(s.eq_u8(least, a)))
}

/// The metrics of the labels at the coordinates of a step, of a row in each half.
#[inline(always)]
fn labels_of<S: Simd, const P: usize>(
    s: S,
    table: &[[u8; STATES]],
    rows: [&[u16; P]; 2],
) -> [S::I16x16; P] {
    let mut labels = [s.splat_i16(0); P];
    for (i, labels) in labels.iter_mut().enumerate() {
        let of = |row: usize| &table[usize::from(rows[row][i])];
        *labels = s.load_halves_u8([of(0), of(1)]);
    }
    labels
}

/// Subtracts the least metric of the last reduction, and finds the one that is subtracted next.
#[inline(always)]
fn reduce<S: Simd, const V: usize>(s: S, metrics: &mut [S::I16x16; V], least: &mut S::I16x16) {
    let mut folded = s.splat_i16(-1);
    for metrics in metrics {
        *metrics = s.sub_u8(*metrics, *least);
        folded = s.min_u8(folded, *metrics);
    }
    *least = s.reduce_min_halves_u8(folded);
}

/// The first state with the least metric, in each row.
#[inline(always)]
pub fn best_states<S: Simd>(s: S, front: &Front) -> [usize; 2] {
    let metrics = &front.metrics[0];
    let mut least = s.splat_i16(-1);
    for metrics in metrics {
        least = s.min_u8(least, s.load_u8(&metrics.0));
    }
    let least = s.reduce_min_halves_u8(least);
    let mut best = [None; 2];
    for (v, metrics) in metrics.iter().enumerate() {
        let found = s.movemask_u8(s.eq_u8(s.load_u8(&metrics.0), least));
        for (best, found) in best.iter_mut().zip([found & 0xffff, found >> STATES]) {
            if best.is_none() && found != 0 {
                *best = Some(v * STATES + found.trailing_zeros() as usize);
            }
        }
    }
    best.map(|state| state.unwrap_or(0))
}
