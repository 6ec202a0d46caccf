//! The frozen codebooks of N(0, I), made once by `examples/freeze_codebooks.rs` with far more samples than a construction could afford; fixed
//! point of 2⁻¹², 16 bits a coordinate.
//!
//! FROZEN: the file and the order of its shapes change only with a new major version; `tests/golden` pins what comes of it.

/// (p, w) of the frozen tables beyond p in 2…8 with w in 1…8, in the order of the file.
const LARGE: [(usize, u32); 9] = [
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

/// Fixed point of the frozen tables: 2⁻¹².
pub const FROZEN_UNIT: f32 = 1.0 / 4096.0;

static FROZEN: &[u8] = include_bytes!("gaussian.bin");

/// The (p, w) of the frozen tables, in the order of the file.
pub fn frozen_shapes() -> impl Iterator<Item = (usize, u32)> {
    (2..=8)
        .flat_map(|p| (1..=8).map(move |w| (p, w)))
        .chain(LARGE)
}

/// The frozen table of p and w, where there is one.
pub(super) fn frozen(block: usize, width: u32) -> Option<Vec<f32>> {
    let mut from = 0;
    for (p, w) in frozen_shapes() {
        let bytes = (2 * p) << w;
        if (p, w) == (block, width) {
            let (pairs, _) = FROZEN.get(from..from + bytes)?.as_chunks::<2>();
            let value = |pair: &[u8; 2]| f32::from(i16::from_le_bytes(*pair)) * FROZEN_UNIT;
            return Some(pairs.iter().map(value).collect());
        }
        from += bytes;
    }
    None
}
