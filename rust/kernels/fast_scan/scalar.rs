//! The definition: row by row.

use super::{Keys, ROWS_PER_GROUP, positions};

pub fn lut_sums(nibbles: &[u8], luts: &[&[u8]], sums: &mut [&mut [u16]]) {
    let positions = positions(nibbles, luts, sums);
    for (lut, sums) in luts.iter().zip(sums) {
        sums.fill(0);
        let groups = nibbles.chunks_exact((positions * ROWS_PER_GROUP / 2).max(1));
        for (group, sums) in groups.zip(sums.chunks_exact_mut(ROWS_PER_GROUP)) {
            let (low, high) = sums.split_at_mut(ROWS_PER_GROUP / 2);
            let bytes = group.chunks_exact(ROWS_PER_GROUP / 2);
            for (bytes, lut) in bytes.zip(lut.as_chunks::<16>().0) {
                for ((low, high), byte) in low.iter_mut().zip(&mut *high).zip(bytes) {
                    *low += u16::from(lut[usize::from(byte & 15)]);
                    *high += u16::from(lut[usize::from(byte >> 4)]);
                }
            }
        }
    }
}

pub fn group_maxima(keys: &Keys<'_>, maxima: &mut [f32]) {
    let rows = keys.rows();
    assert_eq!(
        maxima.len(),
        rows.div_ceil(ROWS_PER_GROUP),
        "one maximum per group"
    );
    group_maxima_from(0, keys, maxima);
}

/// [`group_maxima`] for the groups from `first` on.
pub fn group_maxima_from(first: usize, keys: &Keys<'_>, maxima: &mut [f32]) {
    let rows = keys.spread.len();
    for (group, max) in maxima.iter_mut().enumerate().skip(first) {
        let group = group * ROWS_PER_GROUP..rows.min((group + 1) * ROWS_PER_GROUP);
        let larger = |max: f32, bound: f32| if bound > max { bound } else { max };
        *max = group
            .map(|i| keys.upper_bound(i))
            .fold(f32::NEG_INFINITY, larger);
    }
}

pub fn select_in_range(
    keys: &Keys<'_>,
    above: f32,
    up_to: f32,
    first_row: u32,
    rows: &mut Vec<u32>,
) {
    select_in_range_from(0, keys, above, up_to, first_row, rows);
}

/// [`select_in_range`] for the rows after the first `done`.
pub fn select_in_range_from(
    done: usize,
    keys: &Keys<'_>,
    above: f32,
    up_to: f32,
    first_row: u32,
    rows: &mut Vec<u32>,
) {
    let inside = |&i: &usize| {
        let bound = keys.upper_bound(i);
        above < bound && bound <= up_to
    };
    rows.extend(
        (done..keys.rows())
            .filter(inside)
            .map(|i| first_row + i as u32),
    );
}
