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
/// state each or from any.
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
    match (vectors(code), code.between.is_some()) {
        (1, false) => in_registers::<S, 1, 1>(s, code, rows, from, front, decisions),
        (1, true) => in_registers::<S, 1, 2>(s, code, rows, from, front, decisions),
        (2, false) => in_registers::<S, 2, 1>(s, code, rows, from, front, decisions),
        (2, true) => in_registers::<S, 2, 2>(s, code, rows, from, front, decisions),
        (4, false) => in_registers::<S, 4, 1>(s, code, rows, from, front, decisions),
        (4, true) => in_registers::<S, 4, 2>(s, code, rows, from, front, decisions),
        (8, false) => in_memory::<S, 8, 1>(s, code, rows, from, front, decisions),
        (8, true) => in_memory::<S, 8, 2>(s, code, rows, from, front, decisions),
        (16, false) => in_memory::<S, 16, 1>(s, code, rows, from, front, decisions),
        (16, true) => in_memory::<S, 16, 2>(s, code, rows, from, front, decisions),
        (32, false) => in_memory::<S, 32, 1>(s, code, rows, from, front, decisions),
        (32, true) => in_memory::<S, 32, 2>(s, code, rows, from, front, decisions),
        (_, false) => in_memory::<S, 64, 1>(s, code, rows, from, front, decisions),
        (_, true) => in_memory::<S, 64, 2>(s, code, rows, from, front, decisions),
    }
}

/// V vectors of metrics, which stay in registers, and P coordinates per step.
#[inline(always)]
fn in_registers<S: Simd, const V: usize, const P: usize>(
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
    let mut metrics = [s.splat_i16(0); V];
    let mut least = s.splat_i16(0);
    let mut k = 0;
    if let Some(states) = from {
        while k < code.memory {
            let labels = labels_of(s, table, [&rows[0][k], &rows[1][k]]);
            let forced = forced(s, code, states, k);
            metrics = step(s, tables, Some(forced), labels, metrics, &mut decisions[k]);
            if k % STEPS_PER_REDUCTION == STEPS_PER_REDUCTION - 1 {
                reduce(s, &mut metrics, &mut least);
            }
            k += 1;
        }
    }
    while k < steps && k % STEPS_PER_REDUCTION != 0 {
        let labels = labels_of(s, table, [&rows[0][k], &rows[1][k]]);
        metrics = step(s, tables, None, labels, metrics, &mut decisions[k]);
        if k % STEPS_PER_REDUCTION == STEPS_PER_REDUCTION - 1 {
            reduce(s, &mut metrics, &mut least);
        }
        k += 1;
    }
    let (first, rest) = rows[0][k..].as_chunks::<STEPS_PER_REDUCTION>();
    let (second, rest_of_second) = rows[1][k..].as_chunks::<STEPS_PER_REDUCTION>();
    let (groups, last) = decisions[k..steps].as_chunks_mut::<STEPS_PER_REDUCTION>();
    for ((first, second), decisions) in first.iter().zip(second).zip(groups) {
        for i in 0..STEPS_PER_REDUCTION {
            let labels = labels_of(s, table, [&first[i], &second[i]]);
            metrics = step(s, tables, None, labels, metrics, &mut decisions[i]);
        }
        reduce(s, &mut metrics, &mut least);
    }
    for ((first, second), decisions) in rest.iter().zip(rest_of_second).zip(last) {
        let labels = labels_of(s, table, [first, second]);
        metrics = step(s, tables, None, labels, metrics, decisions);
    }
    front.metrics[0].resize(V, Vector::default());
    for (metrics, to) in metrics.iter().zip(&mut front.metrics[0]) {
        s.store_u8(*metrics, &mut to.0);
    }
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

/// What excludes the paths from the lower and from the higher predecessors in step k, so that all
/// paths begin in a state.
#[inline(always)]
fn forced<S: Simd>(s: S, code: &Code, states: [usize; 2], k: usize) -> [S::I16x16; 2] {
    const EXCLUDED: [[u8; STATES]; 2] = [[0; STATES], [255; STATES]];
    let higher = states.map(|state| state >> (code.memory - 1 - k) & 1);
    let lower = s.load_halves_u8([&EXCLUDED[higher[0]], &EXCLUDED[higher[1]]]);
    let higher = s.load_halves_u8([&EXCLUDED[1 - higher[0]], &EXCLUDED[1 - higher[1]]]);
    [lower, higher]
}

/// The least metrics of paths to some states by way of the lower and of the higher predecessors.
#[inline(always)]
fn choose<S: Simd>(
    s: S,
    labels: S::I16x16,
    forced: Option<[S::I16x16; 2]>,
    predecessors: [S::I16x16; 2],
    windows: [&Vector; 2],
    decisions: &mut u32,
) -> S::I16x16 {
    let [lower, higher] = predecessors;
    let mut a = s.add_saturating_u8(lower, s.shuffle_bytes(labels, s.load_u8(&windows[0].0)));
    let mut b = s.add_saturating_u8(higher, s.shuffle_bytes(labels, s.load_u8(&windows[1].0)));
    if let Some([excluded, excluded_higher]) = forced {
        a = s.or_u8(a, excluded);
        b = s.or_u8(b, excluded_higher);
    }
    let least = s.min_u8(a, b);
    *decisions = s.movemask_u8(s.eq_u8(least, a));
    least
}

/// One step, with metrics in registers.
#[inline(always)]
fn step<S: Simd, const V: usize, const P: usize>(
    s: S,
    tables: &Tables,
    forced: Option<[S::I16x16; 2]>,
    labels: [S::I16x16; P],
    old: [S::I16x16; V],
    decisions: &mut [u32; V],
) -> [S::I16x16; V] {
    let mut new = old;
    if V == 1 {
        let predecessors = s.interleave_u8(old[0], old[0]);
        let windows = [&tables.shuffles[0], &tables.shuffles[1]];
        new[0] = choose(
            s,
            labels[0],
            forced,
            predecessors,
            windows,
            &mut decisions[0],
        );
    } else {
        let (windows, _) = tables.shuffles.as_chunks::<4>();
        let windows = &windows[..V / 2];
        for v in 0..V / 2 {
            let [even_low, even_high, odd_low, odd_high] = &windows[v];
            let pair = [old[v], old[V / 2 + v]];
            let even = [even_low, even_high];
            let even = choose(s, labels[0], forced, pair, even, &mut decisions[v]);
            let odd = [odd_low, odd_high];
            let odd = choose(s, labels[0], forced, pair, odd, &mut decisions[V / 2 + v]);
            [new[2 * v], new[2 * v + 1]] = s.interleave_u8(even, odd);
        }
    }
    if P == 2 {
        for (new, states) in new.iter_mut().zip(&tables.between[..V]) {
            let metric = s.shuffle_bytes(labels[P - 1], s.load_u8(&states.0));
            *new = s.add_saturating_u8(*new, metric);
        }
    }
    new
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

/// More vectors of metrics: those before and after a step are in memory.
#[inline(always)]
fn in_memory<S: Simd, const V: usize, const P: usize>(
    s: S,
    code: &Code,
    rows: [&[u16]; 2],
    from: Option<[usize; 2]>,
    front: &mut Front,
    decisions: &mut [u32],
) {
    let rows = rows.map(|row| row.as_chunks::<P>().0);
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
    for ((k, (first, second)), decisions) in pairs.zip(decisions.as_chunks_mut::<V>().0) {
        let labels = labels_of(s, &code.metrics, [first, second]);
        let is_reduction = k % STEPS_PER_REDUCTION == STEPS_PER_REDUCTION - 1;
        let from = from.filter(|_| k < code.memory);
        // Each kind of step is compiled for itself.
        let (tables, none) = (&code.vector, s.splat_i16(0));
        let folded = if let Some(states) = from {
            let forced = Some(forced(s, code, states, k));
            let subtracted = Some(if is_reduction { least } else { none });
            step_in_memory(s, tables, (forced, subtracted), labels, old, new, decisions)
        } else if is_reduction {
            step_in_memory(s, tables, (None, Some(least)), labels, old, new, decisions)
        } else {
            step_in_memory(s, tables, (None, None), labels, old, new, decisions)
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

/// What a step does besides adding, comparing and selecting: it excludes predecessors, and it
/// subtracts.
type Besides<V> = (Option<[V; 2]>, Option<V>);

/// One step, with metrics in memory. Returns the least of the vectors, if something is subtracted.
#[inline(always)]
fn step_in_memory<S: Simd, const V: usize, const P: usize>(
    s: S,
    tables: &Tables,
    (forced, subtracted): Besides<S::I16x16>,
    labels: [S::I16x16; P],
    old: &[Vector; V],
    new: &mut [Vector; V],
    decisions: &mut [u32; V],
) -> S::I16x16 {
    let windows = &tables.shuffles.as_chunks::<4>().0[..V / 2];
    let between = if P == 2 { V } else { 0 };
    let between = &tables.between[..between];
    let mut folded = s.splat_i16(-1);
    for v in 0..V / 2 {
        let [even_low, even_high, odd_low, odd_high] = &windows[v];
        let pair = [s.load_u8(&old[v].0), s.load_u8(&old[V / 2 + v].0)];
        let even = [even_low, even_high];
        let even = choose(s, labels[0], forced, pair, even, &mut decisions[v]);
        let odd = [odd_low, odd_high];
        let odd = choose(s, labels[0], forced, pair, odd, &mut decisions[V / 2 + v]);
        let mut metrics = s.interleave_u8(even, odd);
        for (i, metrics) in metrics.iter_mut().enumerate() {
            if P == 2 {
                let metric = s.shuffle_bytes(labels[P - 1], s.load_u8(&between[2 * v + i].0));
                *metrics = s.add_saturating_u8(*metrics, metric);
            }
            if let Some(subtracted) = subtracted {
                *metrics = s.sub_u8(*metrics, subtracted);
                folded = s.min_u8(folded, *metrics);
            }
            s.store_u8(*metrics, &mut new[2 * v + i].0);
        }
    }
    folded
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
