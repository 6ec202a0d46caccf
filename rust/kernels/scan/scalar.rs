//! The definition.

use super::{GROUP, Keys, positions};

pub fn nibble_sums(nibbles: &[u8], tables: &[&[u8]], sums: &mut [&mut [u16]]) {
    let positions = positions(nibbles, tables, sums);
    for (tables, sums) in tables.iter().zip(sums) {
        sums.fill(0);
        let groups = nibbles.chunks_exact((positions * GROUP / 2).max(1));
        for (group, sums) in groups.zip(sums.chunks_exact_mut(GROUP)) {
            let (low, high) = sums.split_at_mut(GROUP / 2);
            let bytes = group.chunks_exact(GROUP / 2);
            for (bytes, table) in bytes.zip(tables.as_chunks::<16>().0) {
                for ((low, high), byte) in low.iter_mut().zip(&mut *high).zip(bytes) {
                    *low += u16::from(table[usize::from(byte & 15)]);
                    *high += u16::from(table[usize::from(byte >> 4)]);
                }
            }
        }
    }
}

pub fn greatest(keys: &Keys<'_>, greatest: &mut [f32]) {
    let rows = keys.rows();
    assert_eq!(greatest.len(), rows.div_ceil(GROUP), "one a group");
    greatest_from(0, keys, greatest);
}

/// [`greatest`] of the groups from `first` on.
pub fn greatest_from(first: usize, keys: &Keys<'_>, greatest: &mut [f32]) {
    let rows = keys.spread.len();
    for (group, greatest) in greatest.iter_mut().enumerate().skip(first) {
        let group = group * GROUP..rows.min((group + 1) * GROUP);
        let more = |most: f32, bound: f32| if bound > most { bound } else { most };
        *greatest = group.map(|i| keys.bound(i)).fold(f32::NEG_INFINITY, more);
    }
}

pub fn between(keys: &Keys<'_>, least: f32, most: f32, from: u32, rows: &mut Vec<u32>) {
    between_after(0, keys, least, most, from, rows);
}

/// [`between`] of the rows after the first `done`.
pub fn between_after(
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
