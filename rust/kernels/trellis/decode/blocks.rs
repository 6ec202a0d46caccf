//! Blocks of 128 coordinates in registers: what every body that reads packed trellis codes is made
//! of.

use super::tables::CHOICES;
use crate::kernels::simd::{LANES_16, Simd};
use crate::kernels::trellis::Code;
use crate::kernels::trellis::labels::LABELS;

/// Coordinates of a block.
pub const BLOCK: usize = 128;

/// Coordinates of a group: a vector has one of each.
pub const GROUP: usize = 4;

/// Factors that bring the low nibbles of the bytes in the first half of a register to the place of
/// the high ones.
const RAISE: [i16; LANES_16] = {
    let mut factors = [1; LANES_16];
    let mut i = 0;
    while i < LANES_16 / 2 {
        factors[i] = 16;
        i += 1;
    }
    factors
};

/// Codewords of a code at most.
pub const MOST_WORDS: usize = LABELS * CHOICES;

/// Bytes of the bits of a block in a plane.
pub const PLANE: usize = BLOCK / 8;

/// The bytes of a block from this one on.
#[inline(always)]
fn bytes_from(row: &[u8], byte: usize) -> Option<&[u8; PLANE]> {
    row.get(byte..byte + PLANE)?.first_chunk()
}

/// The bits of a block from this one on, as far as there are any.
#[inline(always)]
fn bits_from(row: &[u8], bit: usize) -> u128 {
    let (byte, skip) = (bit / 8, bit % 8);
    match (bytes_from(row, byte), row.get(byte + PLANE)) {
        (Some(bytes), _) if skip == 0 => u128::from_le_bytes(*bytes),
        (Some(bytes), Some(&next)) => {
            u128::from_le_bytes(*bytes) >> skip | u128::from(next) << (128 - skip)
        }
        _ => last_bits(row, bit),
    }
}

/// The bits from this one on, of which there are at most those of a block. Rows of few coordinates
/// end in every block, so the last bytes are loaded at once where there are enough.
#[cold]
#[inline(never)]
fn last_bits(row: &[u8], bit: usize) -> u128 {
    if let Some(last) = row.last_chunk::<PLANE>() {
        let shift = bit - 8 * (row.len() - PLANE);
        return u128::from_le_bytes(*last)
            .checked_shr(shift as u32)
            .unwrap_or(0);
    }
    let mut bytes = [0; PLANE];
    for (to, byte) in bytes.iter_mut().zip(&row[bit / 8..]) {
        *to = *byte;
    }
    u128::from_le_bytes(bytes) >> (bit % 8)
}

/// The bits of a block from a byte on, in both halves.
#[inline(always)]
fn bytes_twice<S: Simd>(s: S, row: &[u8], byte: usize) -> S::I16x16 {
    match bytes_from(row, byte) {
        Some(bytes) => s.load_u8_twice(bytes),
        None => s.load_u8_twice(&last_bits(row, 8 * byte).to_le_bytes()),
    }
}

/// The byte whose highest bits are the path bits before the first: the last ones, or zeros where
/// the path is not circular.
#[inline(always)]
fn bits_before(code: &Code, steps: usize, row: &[u8]) -> u8 {
    if steps < code.memory {
        return 0;
    }
    match steps.checked_sub(8) {
        Some(bit) => {
            let next = row.get(bit / 8 + 1).copied().unwrap_or(0);
            (u16::from_le_bytes([row[bit / 8], next]) >> (bit % 8)) as u8
        }
        None => row[0] << (8 - steps),
    }
}

/// The rows of a code with U planes of uncoded bits.
#[derive(Clone, Copy)]
pub struct Blocks<'a, S: Simd, const U: usize> {
    s: S,
    code: &'a Code,
    steps: usize,
    is_half: bool,
    labels: [S::I16x16; 6],
    tops: [S::I16x16; 3],
    /// [`RAISE`].
    raise: S::I16x16,
    planes: [Plane<S>; U],
}

/// Where a plane of uncoded bits is in a row.
#[derive(Clone, Copy)]
struct Plane<S: Simd> {
    byte: usize,
    /// The bits of the first byte that are before the plane.
    skip: usize,
    /// How far to shift to the right, and the bytes from the next one on to the left.
    shifts: [S::I16x16; 2],
}

/// A block of a row.
#[derive(Clone, Copy)]
pub struct Block<S: Simd, const U: usize> {
    /// The path bits of each group, the four before, and the four before these.
    nibbles: [S::I16x16; 3],
    /// The labels of the coordinates of a group.
    labels: [S::I16x16; GROUP],
    /// The uncoded bits of the last coordinate of each group in the highest bit of its byte, those
    /// of the other coordinates below it.
    planes: [S::I16x16; U],
}

impl<'a, S: Simd, const U: usize> Blocks<'a, S, U> {
    /// The rows of `dim` coordinates; none if vectors do not decode the code.
    #[inline(always)]
    pub fn new(s: S, code: &'a Code, dim: usize) -> Option<Self> {
        let tables = code.decode.as_ref()?;
        let mut labels = [s.splat_i16(0); 6];
        for (to, label) in labels.iter_mut().zip(&tables.labels) {
            *to = s.load_u8(label);
        }
        let mut tops = [s.splat_i16(0); 3];
        for (to, top) in tops.iter_mut().zip(&tables.tops) {
            *to = s.load_u8(top);
        }
        let steps = code.steps(dim);
        let mut planes = [Plane {
            byte: 0,
            skip: 0,
            shifts: [s.splat_i16(0); 2],
        }; U];
        for (p, plane) in planes.iter_mut().enumerate() {
            let bit = steps + p * dim;
            (plane.byte, plane.skip) = (bit / 8, bit % 8);
            let (right, left) = (plane.skip as u64, 8 - plane.skip as u64);
            plane.shifts = [s.splat_u64(right), s.splat_u64(left)];
        }
        Some(Self {
            s,
            code,
            steps,
            is_half: code.between.is_some(),
            labels,
            tops,
            raise: s.load_i16(&RAISE),
            planes,
        })
    }

    /// Block i of the row at the beginning of `row`. What follows the row is read too, and means
    /// nothing.
    #[inline(always)]
    pub fn block(&self, row: &[u8], i: usize) -> Block<S, U> {
        let (s, is_half) = (self.s, self.is_half);
        let first = if is_half { i * PLANE / 2 } else { i * PLANE };
        let now = bytes_twice(s, row, first);
        let before = if i == 0 {
            let before = u128::from(bits_before(self.code, self.steps, row));
            s.load_u8_twice(&(bits_from(row, 0) << 8 | before).to_le_bytes())
        } else {
            bytes_twice(s, row, first - 1)
        };
        let (low, low_before) = (s.low_nibbles(now), s.low_nibbles(before));
        let (high, high_before) = (s.high_nibbles(now), s.high_nibbles(before));
        let nibbles = if is_half {
            [
                s.interleave_u8(low, high)[0],
                s.interleave_u8(high_before, low)[0],
                s.interleave_u8(low_before, high_before)[0],
            ]
        } else {
            [
                s.join_halves(low, high),
                s.join_halves(high_before, low),
                s.join_halves(low_before, high_before),
            ]
        };
        let mut pairs = [s.splat_i16(0); 2];
        for (back, nibble) in nibbles.into_iter().enumerate() {
            for (pair, found) in pairs.iter_mut().enumerate() {
                let label = s.shuffle_bytes(self.labels[2 * back + pair], nibble);
                *found = s.xor_u8(*found, label);
            }
        }
        let mut planes = [s.splat_i16(0); U];
        for (to, plane) in planes.iter_mut().zip(&self.planes) {
            *to = s.mul_i16(plane.bits_twice(s, row, i), self.raise);
        }
        let [a, b] = pairs;
        Block {
            nibbles,
            labels: [
                s.low_nibbles(a),
                s.high_nibbles(a),
                s.low_nibbles(b),
                s.high_nibbles(b),
            ],
            planes,
        }
    }

    /// The bits of block i in the last plane of uncoded bits, or zeros.
    #[inline(always)]
    pub fn last_plane(&self, row: &[u8], i: usize) -> u128 {
        match self.planes.last() {
            Some(plane) => bits_from(row, 8 * plane.byte + plane.skip + i * BLOCK),
            None => 0,
        }
    }
}

impl<S: Simd> Plane<S> {
    /// The bits of block i, in both halves.
    #[inline(always)]
    fn bits_twice(&self, s: S, row: &[u8], i: usize) -> S::I16x16 {
        let byte = self.byte + i * PLANE;
        if self.skip == 0 {
            return bytes_twice(s, row, byte);
        }
        match (bytes_from(row, byte), bytes_from(row, byte + 1)) {
            (Some(here), Some(next)) => {
                let here = s.shift_right_u64(s.load_u8_twice(here), self.shifts[0]);
                let next = s.shift_left_u64(s.load_u8_twice(next), self.shifts[1]);
                s.or_u8(here, next)
            }
            _ => s.load_u8_twice(&last_bits(row, 8 * byte + self.skip).to_le_bytes()),
        }
    }
}

impl<S: Simd, const U: usize> Block<S, U> {
    /// The highest bits of the labels, in the order of the coordinates.
    #[inline(always)]
    pub fn top_bits(&self, blocks: &Blocks<'_, S, U>) -> u128 {
        let s = blocks.s;
        let mut found = s.splat_i16(0);
        for (table, nibble) in blocks.tops.into_iter().zip(self.nibbles) {
            found = s.xor_u8(found, s.shuffle_bytes(table, nibble));
        }
        let [mut even, mut odd] = [[0; PLANE]; 2];
        s.store_halves_u8(found, [&mut even, &mut odd]);
        u128::from_le_bytes(even) | u128::from_le_bytes(odd)
    }

    /// The bytes of the coordinates of a group, by tables of the labels for each choice of uncoded
    /// bits.
    #[inline(always)]
    pub fn look_up(&self, s: S, tables: &[S::I16x16; CHOICES]) -> [S::I16x16; GROUP] {
        let mut out = self.labels;
        let mut masks = self.planes;
        for out in out.iter_mut().rev() {
            let mut found = [*out; CHOICES];
            let mut choices = 1 << U;
            for (found, table) in found[..choices].iter_mut().zip(tables) {
                *found = s.shuffle_bytes(*table, *out);
            }
            for mask in &mut masks {
                choices /= 2;
                for j in 0..choices {
                    found[j] = s.select_by_sign_u8(*mask, found[2 * j + 1], found[2 * j]);
                }
                // The bit of the coordinate before becomes the highest one.
                *mask = s.add_u8(*mask, *mask);
            }
            *out = found[0];
        }
        out
    }
}

/// The tables of the choices, of which each has a byte per label.
#[inline(always)]
pub fn tables<S: Simd>(s: S, bytes: &[u8]) -> [S::I16x16; CHOICES] {
    let mut tables = [s.splat_i16(0); CHOICES];
    for (table, bytes) in tables.iter_mut().zip(bytes.as_chunks::<LABELS>().0) {
        *table = s.load_u8_twice(bytes);
    }
    tables
}

/// The groups of a block, eight in a vector: even groups in its first half, odd ones in the second.
#[inline(always)]
pub fn groups<S: Simd>(s: S, found: [S::I16x16; GROUP]) -> [S::I16x16; 4] {
    let [a, b, c, d] = found;
    let [ab, more_ab] = s.interleave_u8(a, b);
    let [cd, more_cd] = s.interleave_u8(c, d);
    let [first, second] = s.interleave_u16(ab, cd);
    let [third, fourth] = s.interleave_u16(more_ab, more_cd);
    [first, second, third, fourth]
}

/// The bytes of a block in the order of its coordinates.
#[inline(always)]
pub fn in_order<S: Simd>(s: S, found: [S::I16x16; GROUP]) -> [S::I16x16; 4] {
    let mut found = groups(s, found);
    for found in &mut found {
        *found = s.alternate_u32(*found);
    }
    found
}

/// Calls a body by the number of planes, or what is `else` if vectors do not decode the code.
macro_rules! by_planes {
    ($code:ident, $body:ident$(::<$ty:ident>)?($($arg:expr),*) else $other:expr) => {{
        match $code.planes() {
            None => $other,
            Some(0) => $body::<S, $($ty,)? 0>($($arg),*),
            Some(1) => $body::<S, $($ty,)? 1>($($arg),*),
            Some(2) => $body::<S, $($ty,)? 2>($($arg),*),
            Some(_) => $body::<S, $($ty,)? 3>($($arg),*),
        }
    }};
}
pub(crate) use by_planes;
