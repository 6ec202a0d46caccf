//! Bytes as indexes into tables of up to 256 bytes, and indexes of any width.

use std::arch::x86_64::__m512i;

use crate::isa::Avx512;
use crate::kernels::code_products::shape::{Nibbles, TABLE, Table, Whole};

/// The two halves of each byte.
#[inline(always)]
pub fn halves(s: Avx512, bytes: __m512i) -> [__m512i; 2] {
    let low = s.splat_u8(15);
    [s.and(bytes, low), s.and(s.shift_right_u16::<4>(bytes), low)]
}

/// Bytes as indexes into 256 entries: four tables of 64, each two of them for half of the bytes.
#[derive(Clone, Copy)]
pub struct Index256 {
    bytes: __m512i,
    valid: u64,
    /// The bytes from 128 on.
    is_high: u64,
}

impl Index256 {
    #[inline(always)]
    pub fn new(s: Avx512, bytes: __m512i, valid: u64) -> Self {
        Self {
            bytes,
            valid,
            is_high: s.top_bits_u8(bytes),
        }
    }

    /// The entries of the bytes; 0 where they are not valid.
    #[inline(always)]
    pub fn look_up(self, s: Avx512, table: &[Table; 4]) -> __m512i {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| s.load_u8(&table[i].0));
        let low = s.permute_bytes_2_or_zero(self.valid, a, b, self.bytes);
        let high = s.permute_bytes_2_or_zero(self.valid, c, d, self.bytes);
        s.select_u8(self.is_high, low, high)
    }

    /// The entries of the bytes, all of which are valid.
    #[inline(always)]
    pub fn look_up_all(self, s: Avx512, table: &[[u8; TABLE]; 4]) -> __m512i {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| s.load_u8(&table[i]));
        let low = s.permute_bytes_2(a, b, self.bytes);
        s.select_u8(self.is_high, low, s.permute_bytes_2(c, d, self.bytes))
    }
}

/// Finds the words of bytes with `C` coordinates. (A closure might not be inlined.)
pub trait WordsOfBytes<const C: usize> {
    /// word7 of each coordinate of 64 bytes.
    fn look_up(&self, s: Avx512, bytes: __m512i) -> [__m512i; C];
}

/// The planes of a half of a byte.
pub struct OfNibbles([__m512i; 4]);

impl OfNibbles {
    #[inline(always)]
    pub fn new(s: Avx512, of: &Nibbles) -> Self {
        let mut planes = [s.zero(); 4];
        for (to, plane) in planes.iter_mut().zip(&of.planes) {
            *to = s.broadcast_u8x16(plane);
        }
        Self(planes)
    }
}

impl<const C: usize> WordsOfBytes<C> for OfNibbles {
    #[inline(always)]
    fn look_up(&self, s: Avx512, bytes: __m512i) -> [__m512i; C] {
        let nibbles = halves(s, bytes);
        let mut words = [s.zero(); C];
        for (j, word) in words.iter_mut().enumerate() {
            *word = s.shuffle_bytes(self.0[j % (C / 2)], nibbles[j / (C / 2)]);
        }
        words
    }
}

/// The planes of whole bytes.
pub struct OfWhole<'a, const C: usize>(&'a [[[u8; TABLE]; 4]; C]);

impl<'a, const C: usize> OfWhole<'a, C> {
    #[inline(always)]
    pub fn new(of: &'a Whole) -> Self {
        let (planes, _) = of.planes.as_chunks::<TABLE>();
        let planes = planes.as_chunks::<4>().0.first_chunk::<C>();
        Self(planes.expect("a plane of each coordinate"))
    }
}

impl<const C: usize> WordsOfBytes<C> for OfWhole<'_, C> {
    #[inline(always)]
    fn look_up(&self, s: Avx512, bytes: __m512i) -> [__m512i; C] {
        let index = Index256::new(s, bytes, u64::MAX);
        let mut words = [s.zero(); C];
        for (word, plane) in words.iter_mut().zip(self.0) {
            *word = index.look_up_all(s, plane);
        }
        words
    }
}

/// Unpacks 64 levels of up to seven bits from whole bytes.
///
/// ```text
/// spread:           the `width` bytes of eight levels into each lane of 64 bits
/// bytes_from_bits:  eight bits from the first one of each level on
/// ```
///
/// The bits above a level belong to the next ones.
#[derive(Clone, Copy)]
pub struct Levels64 {
    spread: __m512i,
    bits: __m512i,
}

impl Levels64 {
    #[inline(always)]
    pub fn new(s: Avx512, width: u32) -> Self {
        let width = width as u8;
        let spread: [u8; 64] = std::array::from_fn(|i| i as u8 / 8 * width + i as u8 % 8);
        let bits: [u8; 64] = std::array::from_fn(|i| i as u8 % 8 * width);
        Self {
            spread: s.load_u8(&spread),
            bits: s.load_u8(&bits),
        }
    }

    /// The levels of up to 8·width bytes.
    #[inline(always)]
    pub fn unpack(self, s: Avx512, bytes: &[u8]) -> __m512i {
        let spread = s.permute_bytes(s.load_part_u8(bytes), self.spread);
        s.bytes_from_bits(spread, self.bits)
    }
}

/// The entries of levels, 0 where they are not valid; levels of fewer than seven bits need only the
/// first table.
#[inline(always)]
pub fn look_up_levels<const SEVEN: bool>(
    s: Avx512,
    levels: __m512i,
    valid: u64,
    [low, high]: &[Table; 2],
) -> __m512i {
    let entries = s.permute_bytes_where(valid, s.zero(), s.load_u8(&low.0), levels);
    if !SEVEN {
        return entries;
    }
    let in_high = s.top_bits_u8(s.add_u8(levels, levels)) & valid;
    s.permute_bytes_where(in_high, entries, s.load_u8(&high.0), levels)
}

/// Unpacks 16 indexes of up to 16 bits.
#[derive(Clone, Copy)]
pub struct Indexes16 {
    spread: __m512i,
    shift: __m512i,
    mask: __m512i,
    /// Bytes of 16 indexes.
    bytes: usize,
}

impl Indexes16 {
    #[inline(always)]
    pub fn new(s: Avx512, width: u32) -> Self {
        let spread: [u8; 64] =
            std::array::from_fn(|i| ((i as u32 / 4 * width) / 8) as u8 + i as u8 % 4);
        let shift: [i32; 16] = std::array::from_fn(|i| (i as i32 * width as i32) % 8);
        Self {
            spread: s.load_u8(&spread),
            shift: s.load_i32(&shift),
            mask: s.splat_i32((1 << width) - 1),
            bytes: 2 * width as usize,
        }
    }

    /// Indexes 16i to 16i + 15 of a row; those that the row does not have mean nothing.
    #[inline(always)]
    pub fn unpack(self, s: Avx512, row: &[u8], i: usize) -> __m512i {
        let from = &row[self.bytes * i..];
        let bytes = s.load_part_u8(&from[..from.len().min(64)]);
        let spread = s.permute_bytes(bytes, self.spread);
        s.and(s.shift_right_each_u32(spread, self.shift), self.mask)
    }
}
