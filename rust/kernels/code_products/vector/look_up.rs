//! Levels of three bits as bytes, and words one after the other.

use crate::kernels::code_products::field::FieldTable;
use crate::kernels::pack;
use crate::kernels::simd::{BYTES, Simd};

/// Bits of the levels that are unpacked here.
pub const LEVEL_BITS: u32 = 3;

/// Levels of a vector, and their bytes.
pub const LEVELS: usize = BYTES;
pub const LEVEL_BYTES: usize = LEVELS / 8 * LEVEL_BITS as usize;

/// Unpacks 32 levels of three bits, one per byte.
///
/// ```text
/// shuffle_bytes:  the two bytes in which level i lies into a 16-bit lane
/// mul_i16:        the level to the highest bits of the lane, by a power of two
/// high_bytes:     even levels in low bytes; odd levels stay in high bytes
/// high_nibbles:   the level, and below it a bit that means nothing
/// ```
#[derive(Clone, Copy)]
pub struct Levels32<S: Simd> {
    /// Of even and of odd levels.
    spread: [S::I16x16; 2],
    factor: [S::I16x16; 2],
}

impl<S: Simd> Levels32<S> {
    #[inline(always)]
    pub fn new(s: S) -> Self {
        let mut spread = [[0u8; BYTES]; 2];
        let mut factor = [[0i16; BYTES / 2]; 2];
        for level in 0..LEVELS {
            // Each half has 16 levels, of six bytes.
            let (lane, bit) = (level / 2, level % 16 * LEVEL_BITS as usize);
            let half = level % 2;
            spread[half][2 * lane] = (bit / 8) as u8;
            spread[half][2 * lane + 1] = (bit / 8 + 1) as u8;
            factor[half][lane] = 1 << (16 - LEVEL_BITS as usize - bit % 8);
        }
        Self {
            spread: [s.load_u8(&spread[0]), s.load_u8(&spread[1])],
            factor: [s.load_i16(&factor[0]), s.load_i16(&factor[1])],
        }
    }

    /// The levels of up to 12 bytes, each times two and perhaps one more.
    #[inline(always)]
    pub fn unpack(self, s: S, bytes: &[u8]) -> S::I16x16 {
        // The second half begins after six bytes.
        const FROM: usize = LEVEL_BYTES / 2;
        let mut padded = [0; FROM + 16];
        let bytes = match bytes.first_chunk::<{ FROM + 16 }>() {
            Some(bytes) => bytes,
            None => {
                padded[..bytes.len()].copy_from_slice(bytes);
                &padded
            }
        };
        let halves = (bytes.first_chunk(), bytes.last_chunk());
        let (Some(first), Some(last)) = halves else {
            unreachable!("two halves");
        };
        let bytes = s.load_halves_u8([first, last]);
        let even = s.mul_i16(s.shuffle_bytes(bytes, self.spread[0]), self.factor[0]);
        let odd = s.mul_i16(s.shuffle_bytes(bytes, self.spread[1]), self.factor[1]);
        let odd = s.low_to_high_bytes(s.high_bytes(odd));
        s.high_nibbles(s.add_u8(s.high_bytes(even), odd))
    }
}

/// A table of eight levels for the indexes of [`Levels32`].
#[inline(always)]
pub fn level_table<S: Simd>(s: S, table: &[u8]) -> S::I16x16 {
    let mut entries = [0; 16];
    for (i, entry) in entries.iter_mut().enumerate() {
        *entry = table[i >> (4 - LEVEL_BITS)];
    }
    s.load_u8_twice(&entries)
}

/// Reads up to 32 bytes, and zeros beyond them.
#[inline(always)]
pub fn load_part<S: Simd>(s: S, bytes: &[u8]) -> S::I16x16 {
    if let Some(bytes) = bytes.first_chunk() {
        return s.load_u8(bytes);
    }
    // Half a vector is frequent, and a copy of a length that is not known takes long.
    let mut padded = [0; BYTES];
    if let Ok(bytes) = <&[u8; BYTES / 2]>::try_from(bytes) {
        return s.load_halves_u8([bytes, &[0; BYTES / 2]]);
    }
    padded[..bytes.len()].copy_from_slice(bytes);
    s.load_u8(&padded)
}

/// Indexes that are unpacked at once, of whole bytes in every width.
pub const INDEXES: usize = 128;

/// Coordinates of the longest words that are put together.
pub const SHORT: usize = 8;

/// Bytes of the words of [`INDEXES`] indexes, and of a vector after them.
pub const WORD_BYTES: usize = INDEXES * SHORT + BYTES;

/// Writes the words of indexes `first` to `first` + 127, or as many as there are, one after the
/// other, and zeros up to a whole vector. Returns the number of coordinates.
#[inline(always)]
pub fn put_words<S: Simd>(
    s: S,
    field: &FieldTable,
    row: &[u8],
    first: usize,
    words: &mut [u8; WORD_BYTES],
) -> usize {
    let mut indexes = [0u16; INDEXES];
    let count = (field.count - first).min(INDEXES);
    let indexes = &mut indexes[..count];
    let bit = field.first_bit + first * field.width as usize;
    pack::vector::unpack(s, row, field.width, bit, indexes);
    match field.coordinates {
        1 => put::<1>(field, indexes, words),
        2 => put::<2>(field, indexes, words),
        4 => put::<4>(field, indexes, words),
        8 => put::<8>(field, indexes, words),
        p => {
            // Eight bytes are written of every word, of which the next word overwrites the rest.
            for (i, &index) in indexes.iter().enumerate() {
                let word = &field.words[usize::from(index) * p..][..SHORT];
                words[i * p..][..SHORT].copy_from_slice(word);
            }
        }
    }
    let coordinates = count * field.coordinates;
    words[coordinates..][..BYTES].fill(0);
    coordinates
}

/// Writes words of P coordinates.
#[inline(always)]
fn put<const P: usize>(field: &FieldTable, indexes: &[u16], words: &mut [u8]) {
    let (table, _) = field.words.as_chunks::<P>();
    let (words, _) = words.as_chunks_mut::<P>();
    for (word, &index) in words.iter_mut().zip(indexes) {
        *word = table[usize::from(index)];
    }
}
