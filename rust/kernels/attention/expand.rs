//! Expanding packed rows: several indexes are looked up at a time.

use super::Codewords;
use super::codewords::{Composite, Entries, Entry, Integer, Part};
use super::scalar::{self, expand_indexes};
use crate::kernels::pack;
use crate::kernels::simd::Simd;
use crate::kernels::trellis::decode::blocks::MOST_WORDS;
use crate::kernels::trellis::decode::vector::byte_rows;

/// Indexes that are unpacked together; they end at a byte, whatever their width.
const INDEXES_PER_PASS: usize = 64;

#[inline(always)]
pub fn expand_i8<S: Simd>(s: S, packed: &[u8], words: &Codewords<i8>, out: &mut [i8]) {
    if let Some((code, part)) = words.path() {
        words.check(packed, out);
        let mut table = [0; MOST_WORDS];
        let table = &mut table[..part.words.len()];
        for (to, &word) in table.iter_mut().zip(&part.words) {
            *to = word as u8;
        }
        return byte_rows(s, code, part.count, table, packed, words.stride(), out);
    }
    expand(s, packed, words, out);
}

#[inline(always)]
pub fn expand_i16<S: Simd>(s: S, packed: &[u8], words: &Codewords<i16>, out: &mut [i16]) {
    // Rates of paths are so low that their codewords have eight bits.
    if words.path().is_some() {
        return scalar::expand_i16(packed, words, out);
    }
    expand(s, packed, words, out);
}

#[inline(always)]
fn expand<S: Simd, T: Integer>(s: S, packed: &[u8], words: &Codewords<T>, out: &mut [T]) {
    words.check(packed, out);
    let Some(composite) = words.composite() else {
        return expand_unpacked(s, packed, words, out);
    };
    match (&composite.entries, composite.bits) {
        (Entries::Two(entries), 8) => numbers_of_8(packed, words, composite, entries, out),
        (Entries::Two(entries), _) => numbers_of_12(packed, words, composite, entries, out),
        (Entries::Four(entries), 8) => numbers_of_8(packed, words, composite, entries, out),
        (Entries::Four(entries), _) => numbers_of_12(packed, words, composite, entries, out),
        (Entries::Eight(entries), 8) => numbers_of_8(packed, words, composite, entries, out),
        (Entries::Eight(entries), _) => numbers_of_12(packed, words, composite, entries, out),
    }
}

/// Rows whose first part is looked up byte by byte.
#[inline(always)]
fn numbers_of_8<T: Integer, E: Entry>(
    packed: &[u8],
    words: &Codewords<T>,
    composite: &Composite,
    entries: &[E],
    out: &mut [T],
) {
    let Some(entries) = entries.first_chunk::<256>() else {
        unreachable!("an entry for each byte")
    };
    let per_write = 8 / E::BYTES;
    let writes = words.parts()[0].count / composite.indexes / per_write;
    let coordinates = writes * 8 / T::BYTES;
    for (row, out) in packed
        .chunks_exact(words.row_bytes())
        .zip(out.chunks_exact_mut(words.stride()))
    {
        let (fast, rest) = out.split_at_mut(coordinates);
        let numbers = row[..writes * per_write].chunks_exact(per_write);
        for (numbers, out) in numbers.zip(fast.chunks_exact_mut(8 / T::BYTES)) {
            let mut bits = 0;
            for (i, &number) in numbers.iter().enumerate() {
                bits |= entries[usize::from(number)].to_u64() << (8 * E::BYTES * i);
            }
            T::write(bits, out);
        }
        if !rest.is_empty() {
            expand_indexes(row, words, writes * per_write * composite.indexes, rest);
        }
    }
}

/// Rows whose first part is looked up by numbers of 12 bits.
#[inline(always)]
fn numbers_of_12<T: Integer, E: Entry>(
    packed: &[u8],
    words: &Codewords<T>,
    composite: &Composite,
    entries: &[E],
    out: &mut [T],
) {
    let Some(entries) = entries.first_chunk::<4096>() else {
        unreachable!("an entry for each number")
    };
    // Two numbers are three bytes; eight bytes of coordinates are at least two numbers, or one.
    let per_write = 8 / E::BYTES;
    let pairs = (per_write / 2).max(1);
    let passes = words.parts()[0].count / composite.indexes / (2 * pairs);
    let coordinates = passes * 2 * pairs * E::BYTES / T::BYTES;
    for (row, out) in packed
        .chunks_exact(words.row_bytes())
        .zip(out.chunks_exact_mut(words.stride()))
    {
        let (fast, rest) = out.split_at_mut(coordinates);
        let passes_of = row[..passes * 3 * pairs].chunks_exact(3 * pairs);
        let room = 2 * pairs * E::BYTES / T::BYTES;
        for (bytes, out) in passes_of.zip(fast.chunks_exact_mut(room)) {
            let mut bits = [0u64; 2];
            for (i, bytes) in bytes.as_chunks::<3>().0.iter().enumerate() {
                let low = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]) & 0xfff);
                let high = usize::from(u16::from_le_bytes([bytes[1], bytes[2]]) >> 4);
                let (low, high) = (entries[low].to_u64(), entries[high].to_u64());
                if E::BYTES == 8 {
                    bits = [low, high];
                } else {
                    bits[0] |= (low | high << (8 * E::BYTES)) << (16 * E::BYTES * i);
                }
            }
            for (&bits, out) in bits.iter().zip(out.chunks_exact_mut(8 / T::BYTES)) {
                T::write(bits, out);
            }
        }
        if !rest.is_empty() {
            expand_indexes(row, words, passes * 2 * pairs * composite.indexes, rest);
        }
    }
}

/// Rows whose indexes are unpacked first.
#[inline(always)]
fn expand_unpacked<S: Simd, T: Integer>(s: S, packed: &[u8], words: &Codewords<T>, out: &mut [T]) {
    let part = &words.parts()[0];
    for (row, out) in packed
        .chunks_exact(words.row_bytes())
        .zip(out.chunks_exact_mut(words.stride()))
    {
        let (body, rest) = out.split_at_mut(part.count * part.block);
        match part.block {
            1 => unpack_and_look_up::<S, T, 1>(s, row, part, body),
            2 => unpack_and_look_up::<S, T, 2>(s, row, part, body),
            4 => unpack_and_look_up::<S, T, 4>(s, row, part, body),
            8 => unpack_and_look_up::<S, T, 8>(s, row, part, body),
            _ => {
                expand_indexes(row, words, 0, out);
                continue;
            }
        }
        if !rest.is_empty() {
            expand_indexes(row, words, part.count, rest);
        }
    }
}

#[inline(always)]
fn unpack_and_look_up<S: Simd, T: Copy, const P: usize>(
    s: S,
    row: &[u8],
    part: &Part<T>,
    out: &mut [T],
) {
    let (table, _) = part.words.as_chunks::<P>();
    let mut index = [0u16; INDEXES_PER_PASS];
    let (out, _) = out.as_chunks_mut::<P>();
    for (pass, out) in out.chunks_mut(INDEXES_PER_PASS).enumerate() {
        let first = part.first + pass * INDEXES_PER_PASS * part.width as usize;
        let index = &mut index[..out.len()];
        pack::vector::unpack(s, row, part.width, first, index);
        for (&k, out) in index.iter().zip(out) {
            *out = table[usize::from(k)];
        }
    }
}
