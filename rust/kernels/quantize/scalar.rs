//! The definition: counting the boundaries below each value.

use super::Levels;

pub fn quantize(u: &[f32], levels: &Levels, index: &mut [u16]) {
    assert_eq!(u.len(), index.len(), "one index per coordinate");
    for (slot, &value) in index.iter_mut().zip(u) {
        *slot = levels.boundaries.iter().filter(|&&cut| value > cut).count() as u16;
    }
}

pub fn dequantize(index: &[u16], levels: &Levels, c: &mut [f32]) {
    assert_eq!(c.len(), index.len(), "one index per coordinate");
    for (value, &k) in c.iter_mut().zip(index) {
        *value = levels.table[usize::from(k) & (levels.table.len() - 1)];
    }
}
