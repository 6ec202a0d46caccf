//! One or two comparisons for sixteen coordinates, and look-ups in a table of sixteen levels.
//!
//! With more than 2 bits, a step of the binary search turns the mask of a comparison into the index
//! of the next look-up, which costs what the wider registers gain: then the search is that of the
//! vector body.

use std::arch::x86_64::{__m512, __m512i};

use super::{Levels, vector};
use crate::isa::Avx512;

#[inline(always)]
pub fn quantize(s: Avx512, u: &[f32], levels: &Levels, index: &mut [u16]) {
    match levels.steps.as_slice() {
        [first] => by_masks::<1>(s, u, index, [first[0]; 3]),
        [first, second] => by_masks::<2>(s, u, index, [first[0], second[0], second[1]]),
        _ => vector::quantize(s.avx2(), u, levels, index),
    }
}

/// The search with B bits and the boundaries `cuts`: first the one in the middle, then with two
/// bits the one below it and the one above it.
#[inline(always)]
fn by_masks<const B: usize>(s: Avx512, u: &[f32], index: &mut [u16], cuts: [f32; 3]) {
    assert_eq!(u.len(), index.len(), "one index per coordinate");
    let [middle, low, high] = cuts;
    let cuts = [s.splat(middle), s.splat(low), s.splat(high)];
    let (whole, rest) = u.as_chunks::<32>();
    let (to, to_rest) = index.as_chunks_mut::<32>();
    for (x, to) in whole.iter().zip(to) {
        s.store_u16(indexes::<B>(s, x, cuts), to);
    }
    if !rest.is_empty() {
        let (mut x, mut last) = ([0f32; 32], [0; 32]);
        x[..rest.len()].copy_from_slice(rest);
        s.store_u16(indexes::<B>(s, &x, cuts), &mut last);
        to_rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The indexes of 32 coordinates.
#[inline(always)]
fn indexes<const B: usize>(s: Avx512, x: &[f32; 32], cuts: [__m512; 3]) -> __m512i {
    let (x, _) = x.as_chunks::<16>();
    let (first, second) = (s.load(&x[0]), s.load(&x[1]));
    let (a, b) = (s.lt(cuts[0], first), s.lt(cuts[0], second));
    let above = u32::from(a) | u32::from(b) << 16;
    if B == 1 {
        return s.splat_i16_where(above, 1);
    }
    let a = s.lt(s.select(a, cuts[1], cuts[2]), first);
    let b = s.lt(s.select(b, cuts[1], cuts[2]), second);
    let again = u32::from(a) | u32::from(b) << 16;
    s.add_i16(s.splat_i16_where(above, 2), s.splat_i16_where(again, 1))
}

#[inline(always)]
pub fn dequantize(s: Avx512, index: &[u16], levels: &Levels, c: &mut [f32]) {
    assert_eq!(c.len(), index.len(), "one index per coordinate");
    // A table of eight levels repeats, since indexes are taken modulo its length.
    let table = match levels.table.as_chunks().0 {
        [all] => s.load_halves([all, all]),
        [low, high] => s.load_halves([low, high]),
        _ => return vector::dequantize(s.avx2(), index, levels, c),
    };
    let (whole, rest) = index.as_chunks::<16>();
    let (to, to_rest) = c.as_chunks_mut::<16>();
    for (index, to) in whole.iter().zip(to) {
        s.store(s.lookup16(table, s.load_u16_as_i32(index)), to);
    }
    if !rest.is_empty() {
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        s.store_part(s.lookup16(table, s.load_u16_as_i32(&last)), to_rest);
    }
}
