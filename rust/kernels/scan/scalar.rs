//! The definition.

use super::{GROUP, Keys, positions};

pub fn nibble_sums(nibbles: &[u8], tables: &[u8], sums: &mut [u16]) {
    let positions = positions(nibbles, tables, sums);
    sums.fill(0);
    let groups = nibbles.chunks_exact((positions * GROUP / 2).max(1));
    for (group, sums) in groups.zip(sums.chunks_exact_mut(GROUP)) {
        let (low, high) = sums.split_at_mut(GROUP / 2);
        for (bytes, table) in group
            .chunks_exact(GROUP / 2)
            .zip(tables.as_chunks::<16>().0)
        {
            for ((low, high), byte) in low.iter_mut().zip(&mut *high).zip(bytes) {
                *low = low.wrapping_add(u16::from(table[usize::from(byte & 15)]));
                *high = high.wrapping_add(u16::from(table[usize::from(byte >> 4)]));
            }
        }
    }
}

#[inline(always)]
pub fn at_least(sums: &[u16], keys: &Keys<'_>, least: f32, first: u32, rows: &mut Vec<u32>) {
    let count = sums.len();
    assert!(
        keys.factor.len() == count && keys.spread.len() == count,
        "factors and spreads"
    );
    assert!(
        keys.shift.is_none_or(|shift| shift.len() == count),
        "shifts"
    );
    for from in (0..count).step_by(GROUP) {
        let to = (from + GROUP).min(count);
        let mut upper = [f32::NEG_INFINITY; GROUP];
        let parts = sums[from..to]
            .iter()
            .zip(&keys.factor[from..to])
            .zip(&keys.spread[from..to]);
        for (upper, ((&sum, &factor), &spread)) in upper.iter_mut().zip(parts) {
            let product = keys.unit.mul_add(f32::from(sum), keys.offset);
            *upper = factor.mul_add(product, keys.reach * spread);
        }
        if let Some(shift) = keys.shift {
            for (upper, &shift) in upper.iter_mut().zip(&shift[from..to]) {
                *upper = keys.weight.mul_add(shift, *upper);
            }
        }
        let mut any = false;
        for upper in &upper {
            any |= *upper >= least;
        }
        if any {
            for (row, upper) in (first + from as u32..).zip(&upper[..to - from]) {
                if *upper >= least {
                    rows.push(row);
                }
            }
        }
    }
}
