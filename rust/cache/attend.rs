//! Attention of some queries over the blocks of one head: exact rows and coded ones.
//!
//! ```text
//! logit of an exact token  scale·⟨q, k_j⟩ + mask
//! logit of a coded token   scale·(⟨q, r̂_j⟩ + ⟨q, R_j μ⟩) − debias·scale²‖q‖²·s_j² + mask
//! out                      (Σ exact p_j v_j + Rᵀ(Σ coded p_j s_j c̃_j)/√d) / Σ p_j
//! ```
//!
//! Blocks are read once, in the order of the tokens, in tiles of at most 64 rows, and the softmax
//! keeps a running maximum ([`kernels::attention`](crate::kernels::attention)). The result of a
//! query does not depend on the other queries of the call.

use crate::isa::Isa;
use crate::kernels::attention::{self, ROWS_PER_TILE, Softmax, Terms, Tile};
use crate::kernels::{dense, reduce};

pub use super::blocks::{Block, Offset, Queries};
use super::coder::{Coder, Expanded, Form, Part};
use super::prepared::Prepared;

/// Buffers of [`attend`], kept from call to call.
#[derive(Debug, Default)]
pub struct Work {
    prepared: Prepared,
    expanded: Expanded,
    /// A tile per query: products, logits and weights.
    tiles: Vec<Tile>,
    /// A tile per query: what is added to the logits.
    added: Vec<Tile>,
    /// Products of exact keys with the queries.
    products: Vec<f32>,
    /// The products of the queries with the centers: one number per query and center, or with
    /// rotary centers A and B.
    center_products: Vec<f32>,
    /// A and B with the phase of a tile.
    shifted: Vec<f32>,
    phase: Vec<f32>,
    softmax: Vec<Softmax>,
    exact: Vec<f32>,
    coded: Vec<f32>,
    scratch: Vec<f32>,
}

/// What a call does not change.
struct Call<'a> {
    isa: Isa,
    keys: &'a Coder,
    values: &'a Coder,
    offset: Offset<'a>,
    queries: Queries<'a>,
    /// debias·scale²‖q‖² of each query.
    debias: Vec<f32>,
    /// The factor of each query from products with codewords to logits, without the row's scale.
    factors: Vec<f32>,
    tokens: usize,
}

/// A number as float32, the largest one of its sign if it is beyond.
fn limited(x: f64) -> f32 {
    x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// out ← the attention of the queries over the blocks, m × value_dim.
///
/// Queries, keys and values are of one head. A query that sees no token gives zeros. `debias` is
/// [`Coder::debias`] of the keys, or 0.
///
/// # Panics
/// If the lengths do not fit together.
#[allow(clippy::too_many_arguments)] // The parts of a head, each of its own kind.
pub fn attend(
    isa: Isa,
    keys: &Coder,
    values: &Coder,
    offset: Offset<'_>,
    debias: f32,
    blocks: &[Block<'_>],
    queries: Queries<'_>,
    work: &mut Work,
    out: &mut [f32],
) {
    let (dim, value_dim) = (keys.dim(), values.dim());
    let count = queries.visible.len();
    assert_eq!(queries.q.len(), count * dim, "queries");
    assert_eq!(out.len(), count * value_dim, "room for the results");
    assert!(offset.centers().len().is_multiple_of(dim), "centers");
    if count == 0 {
        return;
    }
    let tokens = blocks.iter().map(|block| block.check(keys, values)).sum();
    let masked = queries.mask.map(<[f32]>::len);
    assert!(masked.is_none_or(|n| n == count * tokens), "mask");
    keys.prepare(isa, queries.q, &mut work.prepared);
    let scale = f64::from(queries.scale);
    let square = |q: &[f32]| reduce::squared_norm(isa, q);
    let call = Call {
        isa,
        keys,
        values,
        offset,
        queries,
        debias: (queries.q.chunks_exact(dim))
            .map(|q| limited(f64::from(debias) * scale * scale * square(q)))
            .collect(),
        factors: (work.prepared.factors.iter())
            .map(|factor| limited(factor * scale))
            .collect(),
        tokens,
    };
    work.begin(&call);
    let mut first = 0;
    for block in blocks {
        let length = block.len(keys.dim());
        for from in (0..length).step_by(ROWS_PER_TILE) {
            let to = length.min(from + ROWS_PER_TILE);
            let tile = block.rows(from, to, keys, values);
            if queries
                .visible
                .iter()
                .any(|&visible| visible > first + from)
            {
                work.tile(&call, tile, first + from, to - from);
            }
        }
        first += length;
    }
    work.finish(&call, out);
}

/// A tile of these values, with zeros after them.
fn tile_of(values: impl IntoIterator<Item = f32>) -> Tile {
    let mut tile = [0f32; ROWS_PER_TILE];
    tile.iter_mut()
        .zip(values)
        .for_each(|(to, value)| *to = value);
    tile
}

impl Work {
    /// Makes the buffers ready for the first tile.
    fn begin(&mut self, call: &Call<'_>) {
        let count = call.queries.visible.len();
        let fill = |values: &mut Vec<f32>, length| {
            values.clear();
            values.resize(length, 0.0);
        };
        self.tiles.resize(count, [0.0; ROWS_PER_TILE]);
        self.added.clear();
        self.added.resize(count, [0.0; ROWS_PER_TILE]);
        self.softmax.clear();
        self.softmax.resize(count, Softmax::EMPTY);
        fill(&mut self.exact, count * call.values.dim());
        fill(&mut self.coded, count * call.values.stride());
        let (dim, scale) = (call.keys.dim(), f64::from(call.queries.scale));
        let centers = call.offset.centers();
        self.center_products.clear();
        for q in call.queries.q.chunks_exact(dim) {
            for center in centers.chunks_exact(dim) {
                if let Offset::Rotary { tables, .. } = call.offset {
                    assert_eq!(tables.dim(), dim, "frequencies");
                    let (q, r) = q.split_at(dim / 2);
                    let (a, b) = center.split_at(dim / 2);
                    let pairs = || q.iter().zip(r).zip(a.iter().zip(b));
                    let wide = |x: &f32, y: &f32| f64::from(*x) * f64::from(*y);
                    let cosines = pairs().map(|((q, r), (a, b))| wide(q, a) + wide(r, b));
                    let sines = pairs().map(|((q, r), (a, b))| wide(r, a) - wide(q, b));
                    let terms = cosines.chain(sines).map(|x| limited(scale * x));
                    self.center_products.extend(terms);
                } else {
                    let product = reduce::dot_f64(call.isa, q, center);
                    self.center_products.push(limited(scale * product));
                }
            }
        }
    }

    /// Reads a tile of `rows` rows whose first token is `first`.
    fn tile(&mut self, call: &Call<'_>, tile: Block<'_>, first: usize, rows: usize) {
        match tile {
            Block::Exact { keys, values } => {
                self.exact_products(call, keys, rows);
                self.logits(call, None, first, rows);
                let ones = [1.0; ROWS_PER_TILE];
                self.softmax(call, &ones);
                let count = call.queries.visible.len();
                let weights = self.tiles.as_flattened();
                attention::sums_f32(call.isa, weights, values, count, &mut self.exact);
            }
            Block::Coded {
                keys,
                values,
                position,
                centroid,
            } => {
                self.coded_products(call, keys);
                self.add_centers(call, position, centroid, rows);
                let scale = tile_of(keys.scale.iter().copied());
                self.logits(call, Some(&scale), first, rows);
                let step = call.values.step() as f32;
                let scale = tile_of(values.scale.iter().map(|scale| scale * step));
                self.softmax(call, &scale);
                self.add_coded(call, values);
            }
        }
    }

    /// Products of exact keys with the queries.
    fn exact_products(&mut self, call: &Call<'_>, keys: &[f32], rows: usize) {
        let count = call.queries.visible.len();
        self.products.resize(count * rows, 0.0);
        let (dim, q) = (call.keys.dim(), call.queries.q);
        dense::products(call.isa, keys, dim, q, &mut self.products);
        for (tile, products) in self.tiles.iter_mut().zip(self.products.chunks_exact(rows)) {
            tile[..rows].copy_from_slice(products);
        }
    }

    /// Products of coded keys, without their scales, with the queries.
    fn coded_products(&mut self, call: &Call<'_>, keys: Part<'_>) {
        let Self {
            prepared,
            expanded,
            tiles,
            ..
        } = self;
        match call.keys.form() {
            Form::I8(words) => {
                let (room, q) = (&mut expanded.bytes, &prepared.integers);
                attention::packed_dots_i8(call.isa, keys.packed, words, room, q, tiles);
            }
            Form::I16(_) => {
                call.keys.expand(call.isa, keys, expanded);
                attention::dots_i16(call.isa, &expanded.shorts, &prepared.integers, tiles);
            }
            Form::F32 => {
                call.keys.expand(call.isa, keys, expanded);
                let rows = keys.len();
                self.products.resize(tiles.len() * rows, 0.0);
                let (k, q) = (&expanded.floats, &prepared.floats);
                dense::products(call.isa, k, call.keys.stride(), q, &mut self.products);
                for (tile, products) in tiles.iter_mut().zip(self.products.chunks_exact(rows)) {
                    tile[..rows].copy_from_slice(products);
                }
            }
        }
    }

    /// The products of the queries with the centers of a tile.
    fn add_centers(
        &mut self,
        call: &Call<'_>,
        position: usize,
        centroid: Option<&[u8]>,
        rows: usize,
    ) {
        let count = call.queries.visible.len();
        let center = |i: usize| centroid.map_or(0, |centroid| usize::from(centroid[i]));
        match call.offset {
            Offset::None => {}
            Offset::Static { .. } => {
                let centers = self.center_products.len() / count;
                let products = self.center_products.chunks_exact(centers);
                for (added, products) in self.added.iter_mut().zip(products) {
                    *added = tile_of((0..rows).map(|i| products[center(i)]));
                }
            }
            Offset::Rotary { tables, .. } => {
                let dim = tables.dim();
                let phase = tables.phase(position, &mut self.phase);
                self.shifted.resize(self.center_products.len(), 0.0);
                let pairs = self.center_products.chunks_exact(dim);
                for (pair, shifted) in pairs.zip(self.shifted.chunks_exact_mut(dim)) {
                    attention::shift(call.isa, pair, phase, shifted);
                }
                let added = self.added.as_flattened_mut();
                added.fill(0.0);
                if self.shifted.len() == count * dim {
                    attention::sums_f32(call.isa, &self.shifted, tables.columns(), count, added);
                    return;
                }
                let per_query = self.shifted.len() / count;
                let shifted = self.shifted.chunks_exact(per_query);
                for (added, shifted) in self.added.iter_mut().zip(shifted) {
                    let turns = tables.rows().chunks_exact(dim);
                    for (i, (added, turn)) in added[..rows].iter_mut().zip(turns).enumerate() {
                        let shifted = &shifted[center(i) * dim..][..dim];
                        *added = reduce::dot(call.isa, shifted, turn);
                    }
                }
            }
        }
    }

    /// Turns products into logits: of exact keys without scales.
    fn logits(&mut self, call: &Call<'_>, scale: Option<&Tile>, first: usize, rows: usize) {
        let zeros = [0.0; ROWS_PER_TILE];
        let ones = [1.0; ROWS_PER_TILE];
        let visible = call.queries.visible.iter();
        for (g, (tile, &visible)) in self.tiles.iter_mut().zip(visible).enumerate() {
            let mask = call.queries.mask.map(|mask| {
                let from = g * call.tokens + first;
                tile_of(mask[from..from + rows].iter().copied())
            });
            let (factor, added, debias) = match scale {
                Some(_) => (call.factors[g], &self.added[g], call.debias[g]),
                None => (call.queries.scale, &zeros, 0.0),
            };
            let terms = Terms {
                factor,
                scale: scale.unwrap_or(&ones),
                added,
                debias,
                mask: mask.as_ref().unwrap_or(&zeros),
                visible: visible.saturating_sub(first).min(rows),
            };
            attention::logits(call.isa, tile, terms);
        }
    }

    /// Turns logits into weights, times the scale of each row.
    fn softmax(&mut self, call: &Call<'_>, scale: &Tile) {
        let exact = self.exact.chunks_exact_mut(call.values.dim());
        let coded = self.coded.chunks_exact_mut(call.values.stride());
        let states = self.tiles.iter_mut().zip(&mut self.softmax);
        for ((tile, state), (exact, coded)) in states.zip(exact.zip(coded)) {
            let factor = attention::softmax(call.isa, tile, scale, state);
            if factor != 1.0 {
                attention::multiply(call.isa, exact, factor);
                attention::multiply(call.isa, coded, factor);
            }
        }
    }

    /// Adds the weighted codewords of a tile to the sums.
    fn add_coded(&mut self, call: &Call<'_>, values: Part<'_>) {
        let Self {
            expanded,
            tiles,
            coded,
            ..
        } = self;
        let (count, weights) = (tiles.len(), tiles.as_flattened());
        if let Form::I8(words) = call.values.form() {
            let (packed, room) = (values.packed, &mut expanded.bytes);
            attention::packed_sums_i8(call.isa, packed, words, room, weights, count, coded);
            return;
        }
        call.values.expand(call.isa, values, expanded);
        match call.values.form() {
            Form::I8(_) => {}
            Form::I16(_) => attention::sums_i16(call.isa, weights, &expanded.shorts, count, coded),
            Form::F32 => attention::sums_f32(call.isa, weights, &expanded.floats, count, coded),
        }
    }

    /// Rotates the coded sums back and divides by the sums of weights.
    fn finish(&mut self, call: &Call<'_>, out: &mut [f32]) {
        let dim = call.values.dim();
        let stride = call.values.stride();
        (call.values).collapse(call.isa, &mut self.coded, stride, out, &mut self.scratch);
        let per_root = (1.0 / (dim as f64).sqrt()) as f32;
        let exact = self.exact.chunks_exact(dim);
        for ((out, exact), state) in out.chunks_exact_mut(dim).zip(exact).zip(&self.softmax) {
            for (out, exact) in out.iter_mut().zip(exact) {
                // Adding zero makes −0 to 0: whether a sum underflows to −0 can depend on tiles of
                // which this query sees nothing.
                *out = if state.sum > 0.0 {
                    out.mul_add(per_root, *exact) / state.sum + 0.0
                } else {
                    0.0
                };
            }
        }
    }
}
