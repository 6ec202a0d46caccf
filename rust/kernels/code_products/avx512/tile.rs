//! Products of a tile with several queries.

use std::arch::x86_64::__m512i;

use crate::isa::Avx512;
use crate::kernels::code_products::{
    IntQuery, ROWS_PER_BLOCK, ROWS_PER_GROUP, check_tile_products,
};

/// Bytes of four coordinates of a block of rows.
const QUAD: usize = 4 * ROWS_PER_BLOCK;

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
        of_queries::<1, 2>(s, tile, &[query], out);
    }
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
        let [a, b, c, d] = y[quad];
        let y = s.splat_i32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]));
        for (sum, words) in sums.iter_mut().zip(words) {
            *sum = s.dot_u8_i8(*sum, words, y);
        }
    }
}
