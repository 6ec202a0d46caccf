//! Tiles, and their products with several queries.

use std::arch::x86_64::__m512i;

use super::look_up::{Indexes16, Levels64, OfNibbles, OfWhole, WordsOfBytes, look_up_levels};
use crate::isa::Avx512;
use crate::kernels::code_products::field::FieldTable;
use crate::kernels::code_products::shape::{Levels, Parts, Shape};
use crate::kernels::code_products::{
    CodeTables, IntQuery, ROWS_PER_BLOCK, ROWS_PER_GROUP, check_tile, check_tile_products, row_of,
    scalar, vector,
};

/// Bytes of four coordinates of a block of rows.
const QUAD: usize = 4 * ROWS_PER_BLOCK;

/// Bytes of a row that are looked up at once.
const COLUMNS: usize = 16;

/// The body of [`expand`](super::super::expand).
#[inline(always)]
pub fn expand(s: Avx512, tables: &CodeTables, packed: &[u8], rows: &[u32], tile: &mut [u8]) {
    check_tile(tables, rows, tile);
    let field = &tables.fields[0];
    // The indexes of whole quads; the others are read one by one.
    let from = match &tables.shape {
        _ if rows.len() < ROWS_PER_GROUP => None,
        Shape::Bytes(bytes) => {
            let per_quad = (4 / bytes.coordinates).max(1);
            Some(bytes.indexes / bytes.count * (bytes.count / per_quad * per_quad))
        }
        Shape::Levels(_) => Some(field.count / 4 * 4),
        Shape::Words if field.coordinates == 4 => Some(field.count),
        Shape::Words | Shape::Path(_) => None,
    };
    let Some(from) = from else {
        return vector::expand(s.avx2(), tables, packed, rows, tile);
    };
    let has_rest = tables.has_rest(from);
    if has_rest {
        tile.fill(0);
    }
    let each = EachTile {
        tables,
        packed,
        rows,
        quads: from * field.coordinates / 4,
    };
    match &tables.shape {
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => put_bytes::<2>(each, s, OfNibbles::new(s, of), tile),
            (Parts::Nibbles(of), 4) => put_bytes::<4>(each, s, OfNibbles::new(s, of), tile),
            (Parts::Nibbles(of), _) => put_bytes::<8>(each, s, OfNibbles::new(s, of), tile),
            (Parts::Whole(of), 1) => put_bytes::<1>(each, s, OfWhole::new(of), tile),
            (Parts::Whole(of), 2) => put_bytes::<2>(each, s, OfWhole::new(of), tile),
            (Parts::Whole(of), 4) => put_bytes::<4>(each, s, OfWhole::new(of), tile),
            (Parts::Whole(of), _) => put_bytes::<8>(each, s, OfWhole::new(of), tile),
        },
        Shape::Levels(of) if of.width == 7 => {
            put_vectors(
                each,
                s,
                OfLevels::<true>(of, Levels64::new(s, of.width)),
                tile,
            );
        }
        Shape::Levels(of) => {
            put_vectors(
                each,
                s,
                OfLevels::<false>(of, Levels64::new(s, of.width)),
                tile,
            );
        }
        Shape::Words | Shape::Path(_) => {
            put_vectors(
                each,
                s,
                OfFours(field, Indexes16::new(s, field.width)),
                tile,
            );
        }
    }
    if has_rest {
        for (i, &row) in rows.iter().enumerate() {
            let row = row_of(tables, packed, row);
            for (j, field) in tables.fields.iter().enumerate() {
                let from = if j == 0 { from } else { 0 };
                scalar::expand_of(field, from, row, i, tables.dim(), tile);
            }
        }
    }
}

/// The rows of a tile, and how many quads of each are written.
#[derive(Clone, Copy)]
struct EachTile<'a> {
    tables: &'a CodeTables,
    packed: &'a [u8],
    rows: &'a [u32],
    quads: usize,
}

impl EachTile<'_> {
    /// Bytes 16·column to 16·column + 15 of rows i, i + 4, i + 8 and i + 12, zeros from byte
    /// `count` on.
    #[inline(always)]
    fn load(self, s: Avx512, i: usize, column: usize, count: usize) -> __m512i {
        let mut padded = [[0; COLUMNS]; 4];
        let [a, b, c, d] = &mut padded;
        let quarters = [
            self.quarter(i, column, count, a),
            self.quarter(i + 4, column, count, b),
            self.quarter(i + 8, column, count, c),
            self.quarter(i + 12, column, count, d),
        ];
        s.load_quarters_u8(quarters)
    }

    #[inline(always)]
    fn quarter<'b>(
        &'b self,
        i: usize,
        column: usize,
        count: usize,
        padded: &'b mut [u8; COLUMNS],
    ) -> &'b [u8; COLUMNS] {
        let row = row_of(self.tables, self.packed, self.rows[i]);
        let bytes = &row[..count][COLUMNS * column..];
        if let Some(bytes) = bytes.first_chunk() {
            return bytes;
        }
        padded[..bytes.len()].copy_from_slice(bytes);
        padded
    }
}

/// Writes the bytes of all rows, with `C` coordinates each.
///
/// ```text
/// load:        rows r0, r4, r8, r12; r1, r5, …; …     16 bytes of each in a quarter
/// transpose:   bytes that make up a quad of r0, r1, r2, r3, then the next quad; in the other
///              quarters those of r4 to r7 and so on
/// look up:     their coordinates, one vector for each coordinate of a byte
/// interleave:  quads of all 16 rows in order
/// ```
#[inline(always)]
fn put_bytes<const C: usize>(
    each: EachTile<'_>,
    s: Avx512,
    words: impl WordsOfBytes<C>,
    tile: &mut [u8],
) {
    let (quads_of_tile, _) = tile.as_chunks_mut::<QUAD>();
    let quads_of_block = quads_of_tile.len() / (ROWS_PER_GROUP / ROWS_PER_BLOCK);
    let blocks = quads_of_tile.chunks_exact_mut(quads_of_block.max(1));
    for (block, quads) in blocks.enumerate() {
        let columns = quads[..each.quads].chunks_mut(COLUMNS * C / 4);
        for (column, quads) in columns.enumerate() {
            let mut x = [s.zero(); 4];
            for (i, x) in x.iter_mut().enumerate() {
                *x = each.load(s, block * ROWS_PER_BLOCK + i, column, each.quads * 4 / C);
            }
            let x = match C {
                1 => transpose::<4>(s, x),
                2 => transpose::<2>(s, x),
                _ => transpose::<1>(s, x),
            };
            for (x, quads) in x.into_iter().zip(quads.chunks_mut(C)) {
                let found = words.look_up(s, x);
                let mut y = [s.zero(); C];
                if C == 1 {
                    y[0] = found[0];
                } else if C == 2 {
                    [y[0], y[1]] = s.interleave_u8(found[0], found[1]);
                }
                for half in 0..C / 4 {
                    let four = [0, 1, 2, 3].map(|i| found[4 * half + i]);
                    for (i, of) in transpose::<1>(s, four).into_iter().enumerate() {
                        y[i * C / 4 + half] = of;
                    }
                }
                for (quad, y) in quads.iter_mut().zip(y) {
                    s.store_u8(y, quad);
                }
            }
        }
    }
}

/// Finds 64 coordinates of a row, in order.
trait Coordinates {
    /// Coordinates 64i to 64i + 63; those that the row does not have mean nothing.
    fn look_up(&self, s: Avx512, row: &[u8], i: usize) -> __m512i;
}

/// Levels.
struct OfLevels<'a, const SEVEN: bool>(&'a Levels, Levels64);

impl<const SEVEN: bool> Coordinates for OfLevels<'_, SEVEN> {
    #[inline(always)]
    fn look_up(&self, s: Avx512, row: &[u8], i: usize) -> __m512i {
        let bytes = &row[8 * self.0.width as usize * i..];
        let bytes = &bytes[..bytes.len().min(8 * self.0.width as usize)];
        look_up_levels::<SEVEN>(s, self.1.unpack(s, bytes), u64::MAX, &self.0.words)
    }
}

/// Words of four coordinates.
struct OfFours<'a>(&'a FieldTable, Indexes16);

impl Coordinates for OfFours<'_> {
    #[inline(always)]
    fn look_up(&self, s: Avx512, row: &[u8], i: usize) -> __m512i {
        let indexes = self.1.unpack(s, row, i);
        s.gather_u32(&self.0.words, s.shift_left_u32::<2>(indexes))
    }
}

/// Writes the coordinates of all rows, 64 of a row at a time, which are 16 quads.
///
/// Four rows are transposed, so that a quarter of a vector has a quad of each of them.
#[inline(always)]
fn put_vectors(each: EachTile<'_>, s: Avx512, of: impl Coordinates, tile: &mut [u8]) {
    let (quads_of_tile, _) = tile.as_chunks_mut::<QUAD>();
    let quads_of_block = quads_of_tile.len() / (ROWS_PER_GROUP / ROWS_PER_BLOCK);
    let blocks = quads_of_tile.chunks_exact_mut(quads_of_block.max(1));
    for (block, quads) in blocks.enumerate() {
        for (i, quads) in quads[..each.quads].chunks_mut(16).enumerate() {
            let mut all = [[0; QUAD]; 16];
            let to = if quads.len() == 16 {
                &mut *quads
            } else {
                &mut all
            };
            for fours in 0..ROWS_PER_BLOCK / 4 {
                let mut x = [s.zero(); 4];
                for (k, x) in x.iter_mut().enumerate() {
                    let row = each.rows[block * ROWS_PER_BLOCK + 4 * fours + k];
                    *x = of.look_up(s, row_of(each.tables, each.packed, row), i);
                }
                for (k, x) in transpose::<4>(s, x).into_iter().enumerate() {
                    let [a, _, _, _, b, _, _, _, c, _, _, _, d, ..] = &mut to[k..] else {
                        unreachable!("sixteen quads");
                    };
                    let to = [a, b, c, d].map(|quad| &mut quad.as_chunks_mut().0[fours]);
                    s.store_quarters(x, to);
                }
            }
            if quads.len() < 16 {
                quads.copy_from_slice(&all[..quads.len()]);
            }
        }
    }
}

/// Transposes the 4 × 4 matrices that each four units of the four vectors in a quarter are.
///
/// ```text
/// units of one byte:   a0 a1 a2 a3 a4 …     result 0:   a0 b0 c0 d0 a1 b1 c1 d1 … (units 0 to 3)
///                      b0 b1 b2 b3 b4 …     result 1:   units 4 to 7
/// ```
#[inline(always)]
fn transpose<const UNIT: usize>(s: Avx512, [a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, cd) = match UNIT {
        1 => (s.interleave_u8(a, b), s.interleave_u8(c, d)),
        2 => (s.interleave_u16(a, b), s.interleave_u16(c, d)),
        _ => (s.interleave_u32(a, b), s.interleave_u32(c, d)),
    };
    let ([a, b], [c, d]) = match UNIT {
        1 => (
            s.interleave_u16(ab[0], cd[0]),
            s.interleave_u16(ab[1], cd[1]),
        ),
        2 => (
            s.interleave_u32(ab[0], cd[0]),
            s.interleave_u32(ab[1], cd[1]),
        ),
        _ => (
            s.interleave_u64(ab[0], cd[0]),
            s.interleave_u64(ab[1], cd[1]),
        ),
    };
    [a, b, c, d]
}

/// The body of [`tile_products`](super::super::tile_products).
#[inline(always)]
pub fn tile_products(s: Avx512, tile: &[u8], dim: usize, queries: &[&IntQuery], out: &mut [i32]) {
    check_tile_products(tile, dim, queries, out);
    let (sixes, queries) = queries.as_chunks::<6>();
    let (of_sixes, out) = out.split_at_mut(sixes.len() * 6 * ROWS_PER_GROUP);
    for (queries, out) in sixes
        .iter()
        .zip(of_sixes.chunks_exact_mut(6 * ROWS_PER_GROUP))
    {
        of_queries::<6, 1>(s, tile, queries, out);
    }
    let (twos, queries) = queries.as_chunks::<2>();
    let (of_twos, out) = out.split_at_mut(twos.len() * 2 * ROWS_PER_GROUP);
    for (queries, out) in twos
        .iter()
        .zip(of_twos.chunks_exact_mut(2 * ROWS_PER_GROUP))
    {
        of_queries::<2, 2>(s, tile, queries, out);
    }
    if let [query] = queries {
        of_query(s, tile, query, out);
    }
}

/// One query, which takes the blocks one after the other: a tile that comes from memory is then
/// read in order.
#[inline(always)]
fn of_query(s: Avx512, tile: &[u8], query: &IntQuery, out: &mut [i32]) {
    const SUMS: usize = 4;
    let (quads_of_tile, _) = tile.as_chunks::<QUAD>();
    let quads = quads_of_tile.len() / (ROWS_PER_GROUP / ROWS_PER_BLOCK);
    let y = &query.values.as_chunks::<4>().0[..quads];
    let (out, _) = out.as_chunks_mut::<ROWS_PER_BLOCK>();
    for (block, out) in quads_of_tile.chunks_exact(quads.max(1)).zip(out) {
        let mut sums = [s.zero(); SUMS];
        sums[0] = s.splat_i32(-64 * query.sum);
        for (words, y) in block.chunks(SUMS).zip(y.chunks(SUMS)) {
            for (sum, (words, y)) in sums.iter_mut().zip(words.iter().zip(y)) {
                *sum = s.dot_u8_i8(*sum, s.load_u8(words), quad_of(s, y));
            }
        }
        let [a, b, c, d] = sums;
        s.store_i32(s.add_i32(s.add_i32(a, b), s.add_i32(c, d)), out);
    }
}

/// Four values of a query in every place.
#[inline(always)]
fn quad_of(s: Avx512, y: &[i8; 4]) -> __m512i {
    s.splat_i32(i32::from_le_bytes(y.map(|y| y as u8)))
}

/// N queries, of which each quad of coordinates is added to one of U sums in turn.
#[inline(always)]
fn of_queries<const N: usize, const U: usize>(
    s: Avx512,
    tile: &[u8],
    queries: &[&IntQuery; N],
    out: &mut [i32],
) {
    let (quads_of_tile, _) = tile.as_chunks::<QUAD>();
    let quads = quads_of_tile.len() / 4;
    let blocks: [&[[u8; QUAD]]; 4] = std::array::from_fn(|i| &quads_of_tile[i * quads..][..quads]);
    let y = queries.map(|query| &query.values.as_chunks::<4>().0[..quads]);
    let mut sums = [[[s.zero(); 4]; N]; U];
    let mut quad = 0;
    while quad + U <= quads {
        for (i, sums) in sums.iter_mut().enumerate() {
            add_quad(s, &blocks, &y, quad + i, sums);
        }
        quad += U;
    }
    while quad < quads {
        add_quad(s, &blocks, &y, quad, &mut sums[0]);
        quad += 1;
    }
    let (out, _) = out.as_chunks_mut::<ROWS_PER_BLOCK>();
    for (q, (query, out)) in queries.iter().zip(out.chunks_exact_mut(4)).enumerate() {
        for (block, out) in out.iter_mut().enumerate() {
            let mut all = s.splat_i32(-64 * query.sum);
            for sums in &sums {
                all = s.add_i32(all, sums[q][block]);
            }
            s.store_i32(all, out);
        }
    }
}

/// Adds the products of four coordinates to the sums.
#[inline(always)]
fn add_quad<const N: usize>(
    s: Avx512,
    blocks: &[&[[u8; QUAD]]; 4],
    y: &[&[[i8; 4]]; N],
    quad: usize,
    sums: &mut [[__m512i; 4]; N],
) {
    let mut words = [s.zero(); 4];
    for (words, block) in words.iter_mut().zip(blocks) {
        *words = s.load_u8(&block[quad]);
    }
    for (sums, y) in sums.iter_mut().zip(y) {
        let y = quad_of(s, &y[quad]);
        for (sum, words) in sums.iter_mut().zip(words) {
            *sum = s.dot_u8_i8(*sum, words, y);
        }
    }
}
