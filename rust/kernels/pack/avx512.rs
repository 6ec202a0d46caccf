//! Groups of 32 indexes, as eight words of 64 bits in one register.
//!
//! ```text
//! pack, for each 32 indexes:
//!     join the four indexes of each word, in two steps        as in the vector body
//!     permute the bytes of the words to 4w bytes              one look-up; two and an "or" if the
//!                                                             words do not fill whole bytes
//! unpack: permute the bytes to words of four indexes, then read two bytes of each index from where
//!     its bits begin, and clear the bits above them
//! ```
//!
//! **Cost.** Five to eight instructions for 32 indexes.

use super::{scalar, vector, vector::for_width};
use crate::isa::Avx512;

/// Indexes of a group.
const INDEXES_PER_GROUP: usize = 32;

#[inline(always)]
pub fn pack(s: Avx512, indices: &[u16], width: u32, first: usize, row: &mut [u8]) {
    let mut done = 0;
    if first.is_multiple_of(8) {
        done = indices.len() / INDEXES_PER_GROUP * INDEXES_PER_GROUP;
        let row = &mut row[first / 8..];
        for_width!(width, pack_groups(s, &indices[..done], row));
    }
    let first = first + done * width as usize;
    scalar::pack(&indices[done..], width, first, row);
}

#[inline(always)]
pub fn unpack(s: Avx512, row: &[u8], width: u32, first: usize, out: &mut [u16]) {
    if width == 8 {
        // Each byte is an index.
        return vector::unpack(s.avx2(), row, width, first, out);
    }
    let mut done = 0;
    if first.is_multiple_of(8) {
        done = out.len() / INDEXES_PER_GROUP * INDEXES_PER_GROUP;
        let row = &row[first / 8..];
        for_width!(width, unpack_groups(s, row, &mut out[..done]));
    }
    let first = first + done * width as usize;
    scalar::unpack(row, width, first, &mut out[done..]);
}

/// Which byte of eight words each of 4·`width` packed bytes is read from, and the mask of the
/// packed bytes that are read.
///
/// A pair of words fills `width` bytes. If `width` is odd, the byte in the middle has bits of both
/// words: then this is for the words with even numbers or for those with `odd` ones, whose bits
/// begin at bit 4. Otherwise it is for all words.
const fn permutation(width: usize, odd: bool) -> ([u8; 64], u64) {
    let (mut from, mut mask) = ([0; 64], 0);
    let mut to = 0;
    while to < 4 * width {
        let (pair, byte) = (to / width, to % width);
        let middle = width / 2;
        let in_second = if width.is_multiple_of(2) || byte != middle {
            byte >= middle
        } else {
            odd
        };
        if width.is_multiple_of(2) || in_second == odd {
            let byte = if in_second { 8 + byte - middle } else { byte };
            from[to] = (16 * pair + byte) as u8;
            mask |= 1 << to;
        }
        to += 1;
    }
    (from, mask)
}

/// Packs whole groups from the first byte on.
#[inline(always)]
fn pack_groups<const W: usize>(s: Avx512, indices: &[u16], bytes: &mut [u8]) {
    let even = const { permutation(W, false) };
    let odd = const { permutation(W, true) };
    let bytes = &mut bytes[..indices.len() / 8 * W];
    let (groups, _) = indices.as_chunks::<INDEXES_PER_GROUP>();
    let (low16, low32) = (
        s.splat_i32((1 << W) - 1),
        s.splat_i64(((1u64 << (2 * W)) - 1) as i64),
    );
    let shifts = s.load_i64(&std::array::from_fn(|word| (word % 2 * W % 2 * 4) as i64));
    for (group, bytes) in groups.iter().zip(bytes.chunks_exact_mut(4 * W)) {
        let x = s.load_u16(group);
        let x = s.select_bits(low16, x, s.shift_right_by_u32(x, 16 - W as u32));
        let x = s.select_bits(low32, x, s.shift_right_by_u64(x, 32 - 2 * W as u32));
        let x = s.shift_left_each_u64(x, shifts);
        let mut packed = s.permute_bytes_or_zero(even.1, x, s.load_u8(&even.0));
        if W % 2 == 1 {
            packed = s.or(packed, s.permute_bytes_or_zero(odd.1, x, s.load_u8(&odd.0)));
        }
        s.store_part_u8(packed, bytes);
    }
}

/// Where each byte of eight words of four indexes is read from 4·`width` packed ones.
const fn spread(width: usize) -> [u8; 64] {
    let mut from = [0; 64];
    let mut to = 0;
    while to < 64 {
        // Bytes after the last one of the group are not used.
        from[to] = (to / 8 * 4 * width / 8 + to % 8) as u8 % 64;
        to += 1;
    }
    from
}

/// The first bit of each byte of the indexes within its word.
const fn first_bits(width: usize) -> [u8; 64] {
    let mut first = [0; 64];
    let mut to = 0;
    while to < 64 {
        let skipped = to / 8 * 4 * width % 8;
        first[to] = ((skipped + to % 8 / 2 * width + to % 2 * 8) % 64) as u8;
        to += 1;
    }
    first
}

/// Unpacks whole groups from the first byte on.
#[inline(always)]
fn unpack_groups<const W: usize>(s: Avx512, bytes: &[u8], out: &mut [u16]) {
    let (from, first) = (
        s.load_u8(&const { spread(W) }),
        s.load_u8(&const { first_bits(W) }),
    );
    let mask = s.splat_i16(((1u32 << W) - 1) as i16);
    let bytes = &bytes[..out.len() / 8 * W];
    let (groups, _) = out.as_chunks_mut::<INDEXES_PER_GROUP>();
    for (group, bytes) in groups.iter_mut().zip(bytes.chunks_exact(4 * W)) {
        let words = s.permute_bytes(s.load_part_u8(bytes), from);
        s.store_u16(s.and(s.bytes_from_bits(words, first), mask), group);
    }
}
