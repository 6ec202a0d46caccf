//! Blocks of 128 coordinates.

use super::scalar;
use super::tables::CHOICES;
use crate::kernels::SUM_LANES;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::reduce::vector::to_lanes;
use crate::kernels::simd::{BYTES, LANES_16, LANES_32, Simd};
use crate::kernels::trellis::Code;
use crate::kernels::trellis::code::LABELS;

/// Coordinates of a block.
pub const BLOCK: usize = 128;

/// Coordinates of a group: a vector has one of each.
pub const GROUP: usize = 4;

/// Factors that bring the low nibbles of the bytes of a half of a register to the place of the high
/// ones, for the first half and for the second one.
const RAISE: [[i16; LANES_16]; 2] = {
    let mut factors = [[1; LANES_16]; 2];
    let mut i = 0;
    while i < LANES_16 {
        factors[i / (LANES_16 / 2)][i] = 16;
        i += 1;
    }
    factors
};

/// Codewords of a code at most.
pub const MOST_WORDS: usize = LABELS * CHOICES;

/// Bytes of the bits of a block in a plane.
pub const PLANE: usize = BLOCK / 8;

/// The bits of a row from this one on, as far as there are any.
#[inline(always)]
fn bits_from(row: &[u8], bit: usize) -> [u8; PLANE] {
    let (byte, skip) = (bit / 8, bit % 8);
    let Some(bytes) = row[byte..].first_chunk() else {
        return last_bits(row, bit);
    };
    match row.get(byte + PLANE) {
        _ if skip == 0 => *bytes,
        next => {
            let next = next.map_or(0, |&next| u128::from(next));
            (u128::from_le_bytes(*bytes) >> skip | next << (128 - skip)).to_le_bytes()
        }
    }
}

/// The bits from this one on, of a row that has fewer than 16 bytes from there on.
#[inline(always)]
fn last_bits(row: &[u8], bit: usize) -> [u8; PLANE] {
    let (bytes, skip) = match row.last_chunk() {
        Some(bytes) => (*bytes, bit - 8 * (row.len() - PLANE)),
        None => {
            let mut bytes = [0; PLANE];
            for (to, byte) in bytes.iter_mut().zip(row) {
                *to = *byte;
            }
            (bytes, bit)
        }
    };
    (u128::from_le_bytes(bytes) >> skip).to_le_bytes()
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
    dim: usize,
    steps: usize,
    labels: [S::I16x16; 6],
    /// [`RAISE`].
    raise: [S::I16x16; 2],
}

/// A block of a row.
#[derive(Clone, Copy)]
pub struct Block<S: Simd, const U: usize> {
    /// The labels of the coordinates of a group.
    labels: [S::I16x16; GROUP],
    /// The uncoded bits of the last coordinate of each group in the highest bit of its byte, those
    /// of the other coordinates below it.
    planes: [S::I16x16; U],
    /// The bits of the last plane, in order.
    pub last: [u8; PLANE],
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
        Some(Self {
            s,
            code,
            dim,
            steps: code.steps(dim),
            labels,
            raise: [s.load_i16(&RAISE[0]), s.load_i16(&RAISE[1])],
        })
    }

    /// Block i of a row.
    #[inline(always)]
    pub fn block(&self, row: &[u8], i: usize) -> Block<S, U> {
        let (s, [even, odd]) = (self.s, self.raise);
        let is_half = self.code.between.is_some();
        let first = if is_half { i * BLOCK / 2 } else { i * BLOCK };
        let now = bits_from(row, first);
        let before = if i == 0 {
            let before = u128::from(bits_before(self.code, self.steps, row));
            (u128::from_le_bytes(now) << 8 | before).to_le_bytes()
        } else {
            bits_from(row, first - 8)
        };
        let nibbles = if is_half {
            let (now, before) = (s.load_u8_twice(&now), s.load_u8_twice(&before));
            let (low, high) = (s.low_nibbles(now), s.high_nibbles(now));
            let (low_before, high_before) = (s.low_nibbles(before), s.high_nibbles(before));
            [
                s.interleave_u8(low, high)[0],
                s.interleave_u8(high_before, low)[0],
                s.interleave_u8(low_before, high_before)[0],
            ]
        } else {
            [
                s.high_nibbles(s.mul_i16(s.load_u8_twice(&now), even)),
                s.high_nibbles(s.mul_i16(s.load_halves_u8([&before, &now]), odd)),
                s.high_nibbles(s.mul_i16(s.load_u8_twice(&before), even)),
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
        let mut last = [0; PLANE];
        for (p, plane) in planes.iter_mut().enumerate() {
            last = bits_from(row, self.steps + p * self.dim + i * BLOCK);
            *plane = s.mul_i16(s.load_u8_twice(&last), even);
        }
        let [a, b] = pairs;
        Block {
            labels: [
                s.low_nibbles(a),
                s.high_nibbles(a),
                s.low_nibbles(b),
                s.high_nibbles(b),
            ],
            planes,
            last,
        }
    }
}

impl<S: Simd, const U: usize> Block<S, U> {
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
fn groups<S: Simd>(s: S, found: [S::I16x16; GROUP]) -> [S::I16x16; 4] {
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

/// The codewords of a block plus 2¹⁵, by the tables of their bytes.
#[inline(always)]
fn shorts<S: Simd, const U: usize>(
    s: S,
    block: &Block<S, U>,
    words: &[[S::I16x16; CHOICES]; 2],
    out: &mut [u16; BLOCK],
) {
    // Groups 0, 1, 4, 5 | 2, 3, 6, 7: interleaving takes groups 0, 1 | 2, 3 first.
    let low = groups(s, block.look_up(s, &words[0]));
    let high = groups(s, block.look_up(s, &words[1]));
    let (out, _) = out.as_chunks_mut::<16>();
    let (out, _) = out.as_chunks_mut::<2>();
    for ((low, high), out) in low.into_iter().zip(high).zip(out) {
        let found = s.interleave_u8(s.transpose_u32(low), s.transpose_u32(high));
        for (x, out) in found.into_iter().zip(out) {
            s.store_u16(x, out);
        }
    }
}

/// Eight codewords.
#[inline(always)]
fn floats<S: Simd>(s: S, shorts: &[u16; LANES_32]) -> S::F32x8 {
    // Exact: the result has at most 16 bits.
    let x = s.to_f32(s.load_u16_as_i32(shorts));
    s.fma(x, s.splat(1.0 / 4096.0), s.splat(-8.0))
}

/// The codeword of a number that [`shorts`] writes.
#[inline(always)]
fn float(short: u16) -> f32 {
    f32::from((short ^ 1 << 15) as i16) / 4096.0
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

#[inline(always)]
pub fn indexes<S: Simd>(s: S, code: &Code, packed: &[u8], out: &mut [u8]) {
    const ALL: [u8; MOST_WORDS] = {
        let mut all = [0; MOST_WORDS];
        let mut i = 0;
        while i < all.len() {
            all[i] = i as u8;
            i += 1;
        }
        all
    };
    bytes(s, code, &ALL[..code.words().len()], packed, out);
}

/// A value of eight bits.
pub trait Byte: Copy + Default {
    fn of(byte: u8) -> Self;
}

impl Byte for u8 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        byte
    }
}

impl Byte for i8 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        byte as i8
    }
}

#[inline(always)]
pub fn bytes<S: Simd>(s: S, code: &Code, table: &[u8], packed: &[u8], out: &mut [u8]) {
    assert_eq!(packed.len(), code.row_bytes(out.len()), "bytes of a row");
    byte_rows(s, code, out.len(), table, packed, out.len(), out);
}

/// Writes the bytes of rows of `dim` coordinates, each with zeros up to the stride.
#[inline(always)]
pub fn byte_rows<S: Simd, T: Byte>(
    s: S,
    code: &Code,
    dim: usize,
    table: &[u8],
    packed: &[u8],
    stride: usize,
    out: &mut [T],
) {
    assert_eq!(table.len(), code.words().len(), "a byte for each codeword");
    by_planes!(code, rows_of::<T>(s, code, dim, table, packed, stride, out) else {
        let rows = packed.chunks_exact(code.row_bytes(dim));
        for (row, out) in rows.zip(out.chunks_exact_mut(stride)) {
            let (out, padding) = out.split_at_mut(dim);
            scalar::decode(code, row, out, |index| T::of(table[usize::from(index)]));
            padding.fill(T::default());
        }
    })
}

#[inline(always)]
fn rows_of<S: Simd, T: Byte, const U: usize>(
    s: S,
    code: &Code,
    dim: usize,
    table: &[u8],
    packed: &[u8],
    stride: usize,
    out: &mut [T],
) {
    let Some(blocks) = Blocks::<S, U>::new(s, code, dim) else {
        return;
    };
    let tables = tables(s, table);
    let rows = packed.chunks_exact(code.row_bytes(dim));
    for (row, out) in rows.zip(out.chunks_exact_mut(stride)) {
        let (out, padding) = out.split_at_mut(dim);
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let found = in_order(s, blocks.block(row, i).look_up(s, &tables));
            for (out, found) in out.chunks_mut(BYTES).zip(found) {
                let mut room = [0; BYTES];
                s.store_u8(found, &mut room);
                match out.first_chunk_mut() {
                    Some(out) => *out = room.map(T::of),
                    None => {
                        for (out, &byte) in out.iter_mut().zip(&room) {
                            *out = T::of(byte);
                        }
                    }
                }
            }
        }
        padding.fill(T::default());
    }
}

#[inline(always)]
pub fn codewords<S: Simd>(s: S, code: &Code, packed: &[u8], c: &mut [f32]) {
    by_planes!(code, codewords_of(s, code, packed, c) else scalar::codewords(code, packed, c))
}

#[inline(always)]
fn codewords_of<S: Simd, const U: usize>(s: S, code: &Code, packed: &[u8], c: &mut [f32]) {
    check(code, packed, c.len());
    let Some(blocks) = Blocks::<S, U>::new(s, code, c.len()) else {
        return;
    };
    let words = words(s, code);
    let mut room = [0; BLOCK];
    for (i, c) in c.chunks_mut(BLOCK).enumerate() {
        shorts(s, &blocks.block(packed, i), &words, &mut room);
        let (eights, rest) = c.as_chunks_mut::<LANES_32>();
        for (c, found) in eights.iter_mut().zip(room.as_chunks().0) {
            s.store(floats(s, found), c);
        }
        for (c, &found) in rest.iter_mut().zip(&room[eights.len() * LANES_32..]) {
            *c = float(found);
        }
    }
}

#[inline(always)]
pub fn products<S: Simd>(
    s: S,
    code: &Code,
    rows: [&[u8]; ROWS_PER_CALL],
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    by_planes!(code, products_of(s, code, rows, y, out) else scalar::products(code, rows, y, out))
}

#[inline(always)]
fn products_of<S: Simd, const U: usize>(
    s: S,
    code: &Code,
    rows: [&[u8]; ROWS_PER_CALL],
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    let Some(blocks) = Blocks::<S, U>::new(s, code, y.len()) else {
        return;
    };
    let words = words(s, code);
    let mut room = [0; BLOCK];
    for (row, out) in rows.into_iter().zip(out) {
        check(code, row, y.len());
        let mut sums = [s.splat(0.0); 2];
        for (i, y) in y.chunks(BLOCK).enumerate() {
            shorts(s, &blocks.block(row, i), &words, &mut room);
            let (found, _) = room.as_chunks::<LANES_32>();
            let (found, _) = found.as_chunks::<2>();
            for (y, found) in y.as_chunks::<SUM_LANES>().0.iter().zip(found) {
                let (y, _) = y.as_chunks::<LANES_32>();
                for ((sum, y), found) in sums.iter_mut().zip(y).zip(found) {
                    *sum = s.fma(floats(s, found), s.load(y), *sum);
                }
            }
        }
        let mut lanes = to_lanes(s, sums);
        let rest = y.as_chunks::<SUM_LANES>().1;
        let from = (y.len() - rest.len()) % BLOCK;
        for ((lane, &y), &found) in lanes.iter_mut().zip(rest).zip(&room[from..]) {
            *lane = float(found).mul_add(y, *lane);
        }
        *out = sum_lanes(lanes);
    }
}

/// The tables of the bytes of codewords.
#[inline(always)]
fn words<S: Simd>(s: S, code: &Code) -> [[S::I16x16; CHOICES]; 2] {
    let mut words = [[s.splat_i16(0); CHOICES]; 2];
    if let Some(of) = &code.decode {
        for (to, of) in words.iter_mut().zip(&of.words) {
            *to = tables(s, of.as_flattened());
        }
    }
    words
}

fn check(code: &Code, packed: &[u8], dim: usize) {
    assert_eq!(packed.len(), code.row_bytes(dim), "bytes of a row");
}
