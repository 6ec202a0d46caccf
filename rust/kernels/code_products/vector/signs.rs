//! Signs and sums of up to 64 rows.
//!
//! The signs of each row are found in parts of 64 bytes, which are then transposed into the group.

use super::look_up::{INDEXES, LEVEL_BITS, LEVEL_BYTES, LEVELS, Levels32, level_table, load_part};
use super::path;
use super::place::put_group;
use crate::kernels::code_products::field::FieldTable;
use crate::kernels::code_products::shape::{Bytes, Levels, Nibbles, Parts, Shape};
use crate::kernels::code_products::{
    CodeTables, EachSigns, PART, PART_COORDINATES, ROWS_PER_GROUP, check_group,
};
use crate::kernels::pack;
use crate::kernels::simd::{BYTES, Simd};

/// The body of [`signs_and_sums`](super::super::signs_and_sums).
#[inline(always)]
pub fn signs_and_sums<S: Simd>(
    s: S,
    tables: &CodeTables,
    packed: &[u8],
    rows: &[u32],
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    check_group(tables, rows, group);
    let each = EachSigns {
        tables,
        packed,
        rows,
    };
    let field = &tables.fields[0];
    match &tables.shape {
        Shape::Path(of) => path::signs_and_sums(each, s, of, group, sums),
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => nibbles::<S, 2>(each, s, bytes, of, group, sums),
            (Parts::Nibbles(of), 4) => nibbles::<S, 4>(each, s, bytes, of, group, sums),
            (Parts::Nibbles(of), _) => nibbles::<S, 8>(each, s, bytes, of, group, sums),
            (Parts::Whole(_), 1) => whole::<S, 1>(each, s, bytes, group, sums),
            (Parts::Whole(_), 2) => whole::<S, 2>(each, s, bytes, group, sums),
            (Parts::Whole(_), 4) => whole::<S, 4>(each, s, bytes, group, sums),
            (Parts::Whole(_), _) => whole::<S, 8>(each, s, bytes, group, sums),
        },
        Shape::Levels(of) if of.width == LEVEL_BITS => {
            levels(each, s, of, group, sums);
        }
        _ if field.coordinates == 1 => words::<S, 1>(each, s, field, group, sums),
        _ if field.coordinates == 2 => words::<S, 2>(each, s, field, group, sums),
        _ if field.coordinates == 4 => words::<S, 4>(each, s, field, group, sums),
        _ => words::<S, 0>(each, s, field, group, sums),
    }
}

/// Bytes with `C` coordinates, half by half.
#[inline(always)]
fn nibbles<S: Simd, const C: usize>(
    each: EachSigns<'_>,
    s: S,
    bytes: &Bytes,
    of: &Nibbles,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let signs_of = [s.load_u8_twice(&of.signs[0]), s.load_u8_twice(&of.signs[1])];
    let sizes_of = [s.load_u8_twice(&of.sizes[0]), s.load_u8_twice(&of.sizes[1])];
    let of_none = bytes.sizes[0];
    let mut found = [0; PART_COORDINATES];
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in 0..each.rows.len() {
            let row = each.row(i);
            let signs = &mut all[i];
            let row = row[..bytes.count].chunks(PART_COORDINATES / C).nth(part);
            let row = row.unwrap_or(&[]);
            let mut sizes = [s.splat_i32(0); 2];
            let (vectors, _) = found.as_chunks_mut::<BYTES>();
            for (bytes, found) in row.chunks(BYTES).zip(vectors) {
                let bytes = load_part(s, bytes);
                let (low, high) = (s.low_nibbles(bytes), s.high_nibbles(bytes));
                for (size, of) in sizes.iter_mut().zip(sizes_of) {
                    let both = s.add_u8(s.shuffle_bytes(of, low), s.shuffle_bytes(of, high));
                    *size = s.add_bytes(*size, both);
                }
                let low = s.shuffle_bytes(signs_of[0], low);
                s.store_u8(s.add_u8(low, s.shuffle_bytes(signs_of[1], high)), found);
            }
            // What the bytes of the last vector that the row does not have have added.
            let missing = (row.len().next_multiple_of(BYTES) - row.len()) as u32;
            found[row.len()..].fill(0);
            put_signs::<C>(&found, signs);
            let [magnitudes, squares, ..] =
                s.sums_of_four_i32([sizes[0], sizes[1], sizes[0], sizes[1]]);
            sums[i][0] += magnitudes as u32 - missing * (of_none & 0xff) as u32;
            sums[i][1] += squares as u32 - missing * (of_none >> 24 & 0xff) as u32;
        }
        put_group(s, &all, group);
    }
    each.put_rest(bytes.indexes, group, sums);
}

/// Bytes with `C` coordinates, of which each is looked up in memory.
#[inline(always)]
fn whole<S: Simd, const C: usize>(
    each: EachSigns<'_>,
    s: S,
    bytes: &Bytes,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let table = bytes.sizes.first_chunk::<256>();
    let table = table.expect("the sizes of each byte");
    // Eight bytes have the signs of C bytes; the last bytes are read one by one.
    let count = bytes.count / 8 * 8;
    let from = bytes.indexes / bytes.count * count;
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in 0..each.rows.len() {
            let row = each.row(i);
            let signs = &mut all[i];
            let row = row[..count].chunks(PART_COORDINATES / C).nth(part);
            let (eights, _) = row.unwrap_or(&[]).as_chunks::<8>();
            let (found_signs, other_signs) = signs.split_at_mut(C * eights.len());
            other_signs.fill(0);
            // The magnitudes stay below bit 24 and the squares below bit 48.
            let mut sizes = 0u64;
            for (signs, bytes) in found_signs.chunks_exact_mut(C).zip(eights) {
                let mut bits = 0;
                for (k, &byte) in bytes.iter().enumerate() {
                    let found = table[usize::from(byte)];
                    sizes = sizes.wrapping_add(found);
                    bits |= found >> 56 << (k * C);
                }
                signs.copy_from_slice(&bits.to_le_bytes()[..C]);
            }
            sums[i][0] += (sizes & 0xff_ffff) as u32;
            sums[i][1] += (sizes >> 24 & 0xff_ffff) as u32;
        }
        put_group(s, &all, group);
    }
    each.put_rest(from, group, sums);
}

/// Levels of three bits.
#[inline(always)]
fn levels<S: Simd>(
    each: EachSigns<'_>,
    s: S,
    of: &Levels,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let count = each.tables.fields[0].count;
    // Whole vectors; the other levels are read one by one.
    let from = count / LEVELS * LEVELS;
    let bytes = from / LEVELS * LEVEL_BYTES;
    let unpacked = Levels32::new(s);
    let signs_of = level_table(s, &of.signs[0].0.map(|sign| sign >> 7));
    let sizes_of = [
        level_table(s, &of.sizes[0][0].0),
        level_table(s, &of.sizes[1][0].0),
    ];
    let mut found = [0; PART_COORDINATES];
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in 0..each.rows.len() {
            let row = each.row(i);
            let signs = &mut all[i];
            let mut sizes = [s.splat_i32(0); 2];
            let (vectors, _) = found.as_chunks_mut::<BYTES>();
            let first = (part * vectors.len() * LEVEL_BYTES).min(bytes);
            let last = bytes.min(first + vectors.len() * LEVEL_BYTES);
            for (at, found) in (first..last).step_by(LEVEL_BYTES).zip(vectors) {
                let levels = unpacked.unpack(s, &row[at..]);
                for (size, of) in sizes.iter_mut().zip(sizes_of) {
                    *size = s.add_bytes(*size, s.shuffle_bytes(of, levels));
                }
                s.store_u8(s.shuffle_bytes(signs_of, levels), found);
            }
            found[(last - first) / LEVEL_BYTES * LEVELS..].fill(0);
            put_signs::<1>(&found, signs);
            let [magnitudes, squares, ..] =
                s.sums_of_four_i32([sizes[0], sizes[1], sizes[0], sizes[1]]);
            sums[i][0] += magnitudes as u32;
            sums[i][1] += squares as u32;
        }
        put_group(s, &all, group);
    }
    each.put_rest(from, group, sums);
}

/// Words of any size, of P coordinates if P is not 0 (then 1, 2 or 4). The signs of a row are
/// strung together before they are cut into parts.
#[inline(always)]
fn words<S: Simd, const P: usize>(
    each: EachSigns<'_>,
    s: S,
    field: &FieldTable,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let p = if P > 0 { P } else { field.coordinates };
    let table = &*field.sizes;
    let parts = group.len().div_ceil(PART * ROWS_PER_GROUP);
    let mut strings = vec![[0; PART]; each.rows.len() * parts];
    sums.fill([0; 2]);
    for (i, string) in strings.chunks_exact_mut(parts.max(1)).enumerate() {
        let row = each.row(i);
        let mut bits = Bits::new(string.as_flattened_mut());
        let mut sizes = [0; 2];
        for first in (0..field.count).step_by(INDEXES) {
            let mut indexes = [0u16; INDEXES];
            let indexes = &mut indexes[..(field.count - first).min(INDEXES)];
            let bit = field.first_bit + first * field.width as usize;
            pack::vector::unpack(s, row, field.width, bit, indexes);
            // The signs are lost at the highest bit, and the sums of up to 16 sizes are kept.
            let (eights, others) = indexes.as_chunks::<8>();
            let (eights, others) = if P > 0 {
                (eights, others)
            } else {
                (&[][..], &*indexes)
            };
            for eight in eights {
                let (mut sum, mut signs) = (0u32, 0);
                for (k, &index) in eight.iter().enumerate() {
                    let found = table[usize::from(index)];
                    sum = sum.wrapping_add(found);
                    signs |= found >> 24 << (k * P);
                }
                bits.put(signs, 8 * P);
                sizes[0] += sum & 0xfff;
                sizes[1] += sum >> 12 & 0xfff;
            }
            for indexes in others.chunks(16) {
                let mut sum = 0u32;
                for &index in indexes {
                    let found = table[usize::from(index)];
                    sum = sum.wrapping_add(found);
                    if p <= 8 {
                        bits.put(found >> 24, p);
                        continue;
                    }
                    let mut left = p;
                    for &signs in field.signs(usize::from(index)) {
                        bits.put(u32::from(signs), left.min(8));
                        left = left.saturating_sub(8);
                    }
                }
                sizes[0] += sum & 0xfff;
                sizes[1] += sum >> 12 & 0xfff;
            }
        }
        sums[i] = sizes;
        bits.end();
    }
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for (signs, string) in all.iter_mut().zip(strings.chunks_exact(parts)) {
            *signs = string[part];
        }
        put_group(s, &all, group);
    }
    each.put_rest(field.count, group, sums);
}

/// Bits that are strung together.
struct Bits<'a> {
    bytes: &'a mut [u8],
    at: usize,
    bits: u64,
    filled: usize,
}

impl<'a> Bits<'a> {
    #[inline(always)]
    fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            bits: 0,
            filled: 0,
        }
    }

    /// Appends up to 32 bits.
    #[inline(always)]
    fn put(&mut self, bits: u32, count: usize) {
        self.bits |= u64::from(bits) << self.filled;
        self.filled += count;
        if self.filled >= 32 {
            self.bytes[self.at..][..4].copy_from_slice(&(self.bits as u32).to_le_bytes());
            self.at += 4;
            self.bits >>= 32;
            self.filled -= 32;
        }
    }

    /// Writes the last bits.
    #[inline(always)]
    fn end(self) {
        let bytes = self.filled.div_ceil(8);
        self.bytes[self.at..][..bytes].copy_from_slice(&self.bits.to_le_bytes()[..bytes]);
    }
}

/// Writes the signs of bytes with C coordinates each, which are the low bits of these bytes.
///
/// ```text
/// C = 4, eight bytes as a number:        0h 0g 0f 0e 0d 0c 0b 0a
/// or itself 4 bits to the right, masked: 00 hg 00 fe 00 dc 00 ba      and so on
/// ```
#[inline(always)]
fn put_signs<const C: usize>(bits: &[u8; PART_COORDINATES], signs: &mut [u8; PART]) {
    if C == 8 {
        return signs.copy_from_slice(&bits[..PART]);
    }
    let (words, _) = bits.as_chunks::<8>();
    for (signs, word) in signs.chunks_exact_mut(C).zip(words) {
        let mut word = u64::from_le_bytes(*word);
        if C == 1 {
            // Bit i of the highest byte is byte i.
            word = word.wrapping_mul(0x0102_0408_1020_4080) >> 56;
        }
        if C == 2 {
            word = (word | word >> 6) & 0x000f_000f_000f_000f;
            word = (word | word >> 12) & 0x0000_00ff_0000_00ff;
            word |= word >> 24;
        }
        if C == 4 {
            word = (word | word >> 4) & 0x00ff_00ff_00ff_00ff;
            word = (word | word >> 8) & 0x0000_ffff_0000_ffff;
            word |= word >> 16;
        }
        signs.copy_from_slice(&word.to_le_bytes()[..C]);
    }
}
