//! The frozen tables: codebooks for N(0, I) that were made once and are part of the library. They
//! took far more samples than a program could spend when it starts.
//!
//! `examples/freeze_codebooks.rs` made them. A table is K words of p coordinates, each a 16-bit
//! little-endian integer in units of 2⁻¹².
//!
//! FROZEN: the file and the order of its shapes change only with a new major version.
//! `tests/golden` pins the codes that come from them.

/// (p, w) of the tables that follow those of all p in 2…8 and w in 1…8, in the order of the file.
const FURTHER_SHAPES: [(usize, u32); 9] = [
    (2, 10),
    (3, 9),
    (3, 10),
    (3, 12),
    (4, 10),
    (4, 12),
    (5, 10),
    (6, 12),
    (12, 12),
];

/// The unit of the tables' integers: 2⁻¹² in units of u.
pub const FROZEN_UNIT: f32 = 1.0 / 4096.0;

static TABLES: &[u8] = include_bytes!("gaussian.bin");

/// (p, w) of all frozen tables, in the order of the file.
pub fn frozen_shapes() -> impl Iterator<Item = (usize, u32)> {
    (2..=8)
        .flat_map(|p| (1..=8).map(move |w| (p, w)))
        .chain(FURTHER_SHAPES)
}

/// The frozen table for p = `block` and w = `width`, if there is one.
pub(super) fn frozen_words(block: usize, width: u32) -> Option<Vec<f32>> {
    let mut from = 0;
    for (p, w) in frozen_shapes() {
        let bytes = (2 * p) << w;
        if (p, w) == (block, width) {
            let (pairs, _) = TABLES.get(from..from + bytes)?.as_chunks::<2>();
            let value = |pair: &[u8; 2]| f32::from(i16::from_le_bytes(*pair)) * FROZEN_UNIT;
            return Some(pairs.iter().map(value).collect());
        }
        from += bytes;
    }
    None
}
