//! Binary search over eight coordinates at a time.

use super::Levels;
use crate::kernels::simd::{LANES_32, Simd};

/// Writes `$value` to `$to` for each vector `$x` of `$from`; values after the last whole vector go
/// through a padded copy. This is a macro because the compiler may leave a closure as a call.
macro_rules! for_each_vector {
    ($from:expr, $to:expr, $s:ident.$load:ident => $x:ident, $value:expr => $store:ident) => {
        assert_eq!($from.len(), $to.len(), "one index per coordinate");
        let (from, from_rest) = $from.as_chunks::<LANES_32>();
        let (to, to_rest) = $to.as_chunks_mut::<LANES_32>();
        for (from, to) in from.iter().zip(to) {
            let $x = $s.$load(from);
            $s.$store($value, to);
        }
        if !from_rest.is_empty() {
            let (mut from, mut to) = (
                [Default::default(); LANES_32],
                [Default::default(); LANES_32],
            );
            from[..from_rest.len()].copy_from_slice(from_rest);
            let $x = $s.$load(&from);
            $s.$store($value, &mut to);
            to_rest.copy_from_slice(&to[..to_rest.len()]);
        }
    };
}

#[inline(always)]
pub fn quantize<S: Simd>(s: S, u: &[f32], levels: &Levels, index: &mut [u16]) {
    assert_eq!(u.len(), index.len(), "one index per coordinate");
    match levels.steps.len() {
        0 => index.fill(0),
        1 => in_registers::<S, 1>(s, u, levels, index),
        2 => in_registers::<S, 2>(s, u, levels, index),
        3 => in_registers::<S, 3>(s, u, levels, index),
        4 => in_registers::<S, 4>(s, u, levels, index),
        _ => {
            for_each_vector!(u, index, s.load => x, in_memory(s, x, levels) => store_i32_as_u16);
        }
    }
}

/// Up to 2^B levels with B ≤ 4: each table is one vector.
#[inline(always)]
fn in_registers<S: Simd, const B: usize>(s: S, u: &[f32], levels: &Levels, index: &mut [u16]) {
    let mut tables = [s.splat(0.0); B];
    for (table, cuts) in tables.iter_mut().zip(&levels.steps) {
        *table = s.load(vector_of(cuts, 0));
    }
    for_each_vector!(u, index, s.load => x, {
        let mut j = s.splat_i32(0);
        for table in tables {
            j = step(s, j, x, s.lookup8(table, j));
        }
        j
    } => store_i32_as_u16);
}

/// More levels: tables of up to 16 entries are one or two vectors, larger ones are gathered.
#[inline(always)]
fn in_memory<S: Simd>(s: S, x: S::F32x8, levels: &Levels) -> S::I32x8 {
    let mut j = s.splat_i32(0);
    for table in &levels.steps {
        let first = s.load(vector_of(table, 0));
        let cut = match table.len() {
            8 => s.lookup8(first, j),
            16 => s.lookup16(first, s.load(vector_of(table, 1)), j),
            _ => s.gather(table, j),
        };
        j = step(s, j, x, cut);
    }
    j
}

/// One step of the search: 2j, and 1 more where x > cut (where the mask is −1).
#[inline(always)]
fn step<S: Simd>(s: S, j: S::I32x8, x: S::F32x8, cut: S::F32x8) -> S::I32x8 {
    s.sub_i32(s.add_i32(j, j), s.gt(x, cut))
}

#[inline(always)]
pub fn dequantize<S: Simd>(s: S, index: &[u16], levels: &Levels, c: &mut [f32]) {
    let table = &levels.table;
    let first = s.load(vector_of(table, 0));
    match table.len() {
        8 => {
            for_each_vector!(index, c, s.load_u16_as_i32 => k, s.lookup8(first, k) => store);
        }
        16 => {
            let second = s.load(vector_of(table, 1));
            for_each_vector!(
                index, c, s.load_u16_as_i32 => k, s.lookup16(first, second, k) => store
            );
        }
        _ => {
            for_each_vector!(index, c, s.load_u16_as_i32 => k, s.gather(table, k) => store);
        }
    }
}

/// Entries 8i to 8i + 7 of a table.
#[inline(always)]
fn vector_of(table: &[f32], i: usize) -> &[f32; LANES_32] {
    &table.as_chunks::<LANES_32>().0[i]
}
