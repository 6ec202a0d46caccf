//! The definition.

use super::{Keys, ROWS_PER_GROUP, positions};

pub fn lut_sums(nibbles: &[u8], tables: &[&[u8]], sums: &mut [&mut [u16]]) {
    let positions = positions(nibbles, tables, sums);
    for (tables, sums) in tables.iter().zip(sums) {
        sums.fill(0);
        let groups = nibbles.chunks_exact((positions * ROWS_PER_GROUP / 2).max(1));
        for (group, sums) in groups.zip(sums.chunks_exact_mut(ROWS_PER_GROUP)) {
            let (low, high) = sums.split_at_mut(ROWS_PER_GROUP / 2);
            let bytes = group.chunks_exact(ROWS_PER_GROUP / 2);
            for (bytes, table) in bytes.zip(tables.as_chunks::<16>().0) {
                for ((low, high), byte) in low.iter_mut().zip(&mut *high).zip(bytes) {
                    *low += u16::from(table[usize::from(byte & 15)]);
                    *high += u16::from(table[usize::from(byte >> 4)]);
                }
            }
        }
    }
}

pub fn group_maxima(keys: &Keys<'_>, greatest: &mut [f32]) {
    let rows = keys.rows();
    assert_eq!(greatest.len(), rows.div_ceil(ROWS_PER_GROUP), "one a group");
    group_maxima_from(0, keys, greatest);
}

/// [`group_maxima`] of the groups from `first` on.
pub fn group_maxima_from(first: usize, keys: &Keys<'_>, greatest: &mut [f32]) {
    let rows = keys.spread.len();
    for (group, greatest) in greatest.iter_mut().enumerate().skip(first) {
        let group = group * ROWS_PER_GROUP..rows.min((group + 1) * ROWS_PER_GROUP);
        let more = |most: f32, bound: f32| if bound > most { bound } else { most };
        *greatest = group.map(|i| keys.bound(i)).fold(f32::NEG_INFINITY, more);
    }
}

pub fn select_in_range(keys: &Keys<'_>, least: f32, most: f32, from: u32, rows: &mut Vec<u32>) {
    select_in_range_from(0, keys, least, most, from, rows);
}

/// [`select_in_range`] of the rows after the first `done`.
pub fn select_in_range_from(
    done: usize,
    keys: &Keys<'_>,
    least: f32,
    most: f32,
    from: u32,
    rows: &mut Vec<u32>,
) {
    let inside = |&i: &usize| {
        let bound = keys.bound(i);
        least < bound && bound <= most
    };
    rows.extend((done..keys.rows()).filter(inside).map(|i| from + i as u32));
}
