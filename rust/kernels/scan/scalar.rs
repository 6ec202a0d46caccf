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

pub fn above(sums: &[u16], keys: &Keys<'_>, least: f32, first: u32, rows: &mut Vec<u32>) {
    keys.check(sums.len());
    above_from(0, sums, keys, least, first, rows);
}

/// [`above`] of the rows from `from` on.
pub fn above_from(
    from: usize,
    sums: &[u16],
    keys: &Keys<'_>,
    least: f32,
    first: u32,
    rows: &mut Vec<u32>,
) {
    for (i, &sum) in sums.iter().enumerate().skip(from) {
        let bound = keys.reach.mul_add(keys.spread[i], keys.key(i, sum));
        if bound > least {
            rows.push(first + i as u32);
        }
    }
}
