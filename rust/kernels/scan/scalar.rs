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

pub fn above(keys: &Keys<'_>, least: f32, from: u32, rows: &mut Vec<u32>, greatest: &mut Vec<f32>) {
    above_after(0, keys, least, from, rows, greatest);
}

/// [`above`] of the rows after the first `done`, a multiple of [`GROUP`].
pub fn above_after(
    done: usize,
    keys: &Keys<'_>,
    least: f32,
    from: u32,
    rows: &mut Vec<u32>,
    greatest: &mut Vec<f32>,
) {
    let count = keys.rows();
    for group in (done..count).step_by(GROUP) {
        let mut most = f32::NEG_INFINITY;
        for i in group..count.min(group + GROUP) {
            let bound = keys.reach.mul_add(keys.spread[i], keys.key(i));
            if bound > least {
                rows.push(from + i as u32);
            }
            most = if bound > most { bound } else { most };
        }
        greatest.push(most);
    }
}
