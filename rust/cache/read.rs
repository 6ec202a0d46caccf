//! Reading a cache: decoding all tokens, and attention straight from the codes.

use std::sync::Arc;

use super::attend::{Block, Offset, Queries, Work, attend};
use super::exact::Exact;
use super::tensor::Values;
use super::{Center, KeyValueCache, PAGE_TOKENS, Sequence};
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::threads;

/// The most queries that read the codes of a head together.
pub const QUERIES_PER_CALL: usize = 32;

/// What is added to the logits, with the axes (sequence, query head, query, token), where tokens
/// are all those of the cache, pads included.
pub trait Mask: Sync {
    /// Writes the values of the tokens from `from` on: below +∞, and −∞ for hidden tokens.
    fn read(&self, sequence: usize, head: usize, query: usize, from: usize, out: &mut [f32]);
}

/// The rows of a head in the form that kernels take, and the other buffers of a thread.
#[derive(Default)]
struct Buffers {
    key_scales: Vec<f32>,
    key_gammas: Vec<f32>,
    value_scales: Vec<f32>,
    value_gammas: Vec<f32>,
    centroids: Vec<u8>,
    exact_keys: Vec<f32>,
    exact_values: Vec<f32>,
    visible: Vec<usize>,
    mask: Vec<f32>,
    work: Work,
}

/// Takes the first `len` values of a slice.
fn take<'a, T>(values: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (first, rest) = std::mem::take(values).split_at_mut(len);
    *values = rest;
    first
}

/// Exact rows as float32, borrowed if they have this type.
fn float32<'a>(values: Values<'a>, buffer: &mut &'a mut [f32]) -> &'a [f32] {
    match values {
        Values::Float32(values) => values,
        _ => values.read(take(buffer, values.len())),
    }
}

impl Sequence {
    /// The exact pages before and after the coded ones.
    fn exact(&self) -> impl Iterator<Item = &Exact> {
        self.sinks.iter().chain(&self.recent).map(|page| &**page)
    }
}

impl KeyValueCache {
    /// All keys (batch, heads, tokens, dim) and values (batch, heads, tokens, value_dim), with
    /// zeros for pads.
    ///
    /// # Errors
    /// If the environment names an instruction set that this machine does not have.
    pub fn decode(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        self.decode_on(Isa::current()?)
    }

    /// [`KeyValueCache::decode`] with this instruction set.
    pub fn decode_on(&self, isa: Isa) -> Result<(Vec<f32>, Vec<f32>)> {
        let spec = &self.spec;
        let rows = self.batch() * spec.heads * self.length;
        let mut keys = vec![0f32; rows * spec.dim];
        let mut values = vec![0f32; rows * spec.value_dim];
        if rows == 0 {
            return Ok((keys, values));
        }
        let heads = (keys.chunks_exact_mut(self.length * spec.dim))
            .zip(values.chunks_exact_mut(self.length * spec.value_dim));
        threads::try_for_each(heads, Vec::new, |buffer, place, (keys, values)| {
            let (sequence, head) = (place / spec.heads, place % spec.heads);
            let sequence = &self.sequences[sequence];
            let keys = &mut keys[sequence.pads * spec.dim..];
            let values = &mut values[sequence.pads * spec.value_dim..];
            self.decode_head(isa, sequence, head, buffer, keys, values)
        })?;
        Ok((keys, values))
    }

    fn decode_head(
        &self,
        isa: Isa,
        sequence: &Sequence,
        head: usize,
        offset: &mut Vec<f32>,
        mut keys: &mut [f32],
        mut values: &mut [f32],
    ) -> Result<()> {
        let (spec, built) = (&self.spec, &*self.built);
        let (dim, value_dim) = (spec.dim, spec.value_dim);
        let exact = |pages: &[Arc<Exact>], keys: &mut &mut [f32], values: &mut _| {
            for page in pages {
                (page.keys(head)).write(take(keys, page.len() * dim));
                (page.values(head)).write(take(values, page.len() * value_dim));
            }
        };
        exact(&sequence.sinks, &mut keys, &mut values);
        let vectors = self.vectors(sequence, head);
        let width = spec.centroid_bits();
        let mut first = spec.sinks;
        let (mut scale, mut gamma) = ([0f32; PAGE_TOKENS], [0f32; PAGE_TOKENS]);
        let mut index = [0u8; PAGE_TOKENS];
        offset.resize(dim, 0.0);
        for entry in &sequence.coded {
            threads::check();
            let page = &*entry.page;
            let len = page.len;
            let (scale, gamma) = (&mut scale[..len], &mut gamma[..len]);
            let part = page.keys.part(head, &built.keys, scale, gamma);
            let rows = take(&mut keys, len * dim);
            built.keys.decode(isa, part, rows)?;
            if let Some(vectors) = vectors {
                page.read_centroids(isa, head, width, &mut index[..len]);
                let angles = built.rotary.as_ref();
                let angles = angles.map(|rotary| rotary.angles(first, len));
                for (i, row) in rows.chunks_exact_mut(dim).enumerate() {
                    let mut center = &vectors[usize::from(index[i]) * dim..][..dim];
                    if let Some(angles) = &angles {
                        angles.turn(i, center, offset);
                        center = offset;
                    }
                    for (x, center) in row.iter_mut().zip(center) {
                        *x += center;
                    }
                }
            }
            let part = page.values.part(head, &built.values, scale, gamma);
            (built.values).decode(isa, part, take(&mut values, len * value_dim))?;
            first += len;
        }
        exact(&sequence.recent, &mut keys, &mut values);
        Ok(())
    }

    /// The vectors that were subtracted from the keys of a head, if there are any.
    fn vectors<'a>(&'a self, sequence: &'a Sequence, head: usize) -> Option<&'a [f32]> {
        let (vectors, count) = match &self.spec.center {
            Center::None => return None,
            Center::Given(center) => (center, 1),
            Center::Static | Center::Rotary(_) => {
                (&**sequence.center.as_ref()?, self.spec.vectors())
            }
        };
        let size = count * self.spec.dim;
        Some(&vectors[head * size..][..size])
    }

    /// Attention of the newest m tokens of each sequence: q is (batch, query_heads, m, dim) and
    /// `out` (batch, query_heads, m, value_dim), with m·query_heads·batch rows each.
    ///
    /// Query i sees the tokens up to n − m + i, pads excluded. Query head h uses the key-value head
    /// h div (query_heads/heads). The default of `scale` is 1/√dim. A query that sees no token
    /// gives zeros.
    ///
    /// # Errors
    /// If a size does not fit, or a query, the scale or the mask has a wrong number.
    pub fn attend(
        &self,
        q: &[f32],
        query_heads: usize,
        m: usize,
        scale: Option<f32>,
        mask: Option<&dyn Mask>,
        out: &mut [f32],
    ) -> Result<()> {
        self.attend_on(Isa::current()?, q, query_heads, m, scale, mask, out)
    }

    /// [`KeyValueCache::attend`] with this instruction set.
    #[allow(clippy::too_many_arguments)]
    pub fn attend_on(
        &self,
        isa: Isa,
        q: &[f32],
        query_heads: usize,
        m: usize,
        scale: Option<f32>,
        mask: Option<&dyn Mask>,
        out: &mut [f32],
    ) -> Result<()> {
        let spec = &self.spec;
        self.check_queries(q, query_heads, m, scale, out.len())?;
        if q.is_empty() {
            return Ok(());
        }
        let scale = scale.unwrap_or((1.0 / (spec.dim as f64).sqrt()) as f32);
        let shared = query_heads / spec.heads * m;
        let heads = q
            .chunks_exact(shared * spec.dim)
            .zip(out.chunks_exact_mut(shared * spec.value_dim))
            .enumerate();
        let calls = heads.flat_map(|(place, (q, out))| {
            q.chunks(QUERIES_PER_CALL * spec.dim)
                .zip(out.chunks_mut(QUERIES_PER_CALL * spec.value_dim))
                .enumerate()
                .map(move |(call, (q, out))| (place, call * QUERIES_PER_CALL, q, out))
        });
        let work = |buffers: &mut Buffers,
                    _,
                    (place, first, q, out): (usize, usize, &[f32], &mut [f32])| {
            let (b, head) = (place / spec.heads, place % spec.heads);
            let sequence = &self.sequences[b];
            let tokens = self.length - sequence.pads;
            let count = out.len() / spec.value_dim;
            let queries = || (first..first + count).map(|query| (query / m, query % m));
            buffers.visible.clear();
            let visible =
                queries().map(|(_, i)| (self.length - m + i + 1).saturating_sub(sequence.pads));
            buffers.visible.extend(visible);
            if let Some(mask) = mask {
                buffers.mask.resize(count * tokens, 0.0);
                let heads = query_heads / spec.heads;
                for ((group, i), out) in queries().zip(buffers.mask.chunks_exact_mut(tokens.max(1)))
                {
                    let query_head = head * heads + group;
                    mask.read(b, query_head, i, sequence.pads, out);
                    self.check_mask(out, [b, query_head, i], sequence.pads)?;
                }
            }
            self.attend_head(isa, sequence, head, q, scale, mask.is_some(), buffers, out);
            Ok(())
        };
        threads::try_for_each(calls, Buffers::default, work)
    }

    /// Attention of some queries over a head of a sequence. What they see and their mask are in the
    /// buffers.
    #[allow(clippy::too_many_arguments)]
    fn attend_head(
        &self,
        isa: Isa,
        sequence: &Sequence,
        head: usize,
        q: &[f32],
        scale: f32,
        is_masked: bool,
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        let (spec, built) = (&self.spec, &*self.built);
        let (coded, width) = (sequence.coded_tokens, spec.centroid_bits());
        buffers.key_scales.resize(coded, 0.0);
        buffers.key_gammas.resize(coded, 0.0);
        buffers.value_scales.resize(coded, 0.0);
        buffers.value_gammas.resize(coded, 0.0);
        buffers.centroids.resize(coded, 0);
        let exact: usize = sequence.exact().map(Exact::len).sum();
        buffers.exact_keys.resize(exact * spec.dim, 0.0);
        buffers.exact_values.resize(exact * spec.value_dim, 0.0);
        let mut key_scales = &mut buffers.key_scales[..];
        let mut key_gammas = &mut buffers.key_gammas[..];
        let mut value_scales = &mut buffers.value_scales[..];
        let mut value_gammas = &mut buffers.value_gammas[..];
        let mut centroids = &mut buffers.centroids[..];
        let mut exact_keys = &mut buffers.exact_keys[..];
        let mut exact_values = &mut buffers.exact_values[..];
        let count = sequence.sinks.len() + sequence.coded.len() + sequence.recent.len();
        let mut blocks = Vec::with_capacity(count);
        for page in &sequence.sinks {
            let keys = float32(page.keys(head), &mut exact_keys);
            let values = float32(page.values(head), &mut exact_values);
            blocks.push(Block::Exact { keys, values });
        }
        let mut position = spec.sinks;
        for entry in &sequence.coded {
            let page = &*entry.page;
            let len = page.len;
            let centroid = (width > 0).then(|| {
                let index = take(&mut centroids, len);
                page.read_centroids(isa, head, width, index);
                &*index
            });
            let (scale, gamma) = (take(&mut key_scales, len), take(&mut key_gammas, len));
            let keys = page.keys.part(head, &built.keys, scale, gamma);
            let (scale, gamma) = (take(&mut value_scales, len), take(&mut value_gammas, len));
            let values = page.values.part(head, &built.values, scale, gamma);
            blocks.push(Block::Coded {
                keys,
                values,
                position,
                centroid,
            });
            position += len;
        }
        for page in &sequence.recent {
            let keys = float32(page.keys(head), &mut exact_keys);
            let values = float32(page.values(head), &mut exact_values);
            blocks.push(Block::Exact { keys, values });
        }
        let offset = match (self.vectors(sequence, head), self.tables.as_deref()) {
            (None, _) => Offset::None,
            (Some(centers), None) => Offset::Static { centers },
            (Some(centers), Some(tables)) => Offset::Rotary { centers, tables },
        };
        let queries = Queries {
            q,
            visible: &buffers.visible,
            mask: is_masked.then_some(&*buffers.mask),
            scale,
        };
        let (keys, values, work) = (&built.keys, &built.values, &mut buffers.work);
        attend(
            isa,
            keys,
            values,
            offset,
            built.debias,
            &blocks,
            queries,
            work,
            out,
        );
    }

    fn check_queries(
        &self,
        q: &[f32],
        query_heads: usize,
        m: usize,
        scale: Option<f32>,
        room: usize,
    ) -> Result<()> {
        let spec = &self.spec;
        let problem = |text: String| Err(Error::invalid(format!("{}{text}", spec.prefix())));
        if query_heads == 0 || !query_heads.is_multiple_of(spec.heads) {
            return problem(format!(
                "q has {}, expected a multiple of heads={}",
                counted(query_heads, "head"),
                spec.heads
            ));
        }
        if m > self.length {
            return problem(format!(
                "q has {} per head, expected at most {}, the tokens of the cache: append the \
                 tokens of the queries first",
                counted(m, "query").replace("querys", "queries"),
                self.length
            ));
        }
        let rows = self.batch() * query_heads * m;
        if q.len() != rows * spec.dim || room != rows * spec.value_dim {
            return problem(format!(
                "q has {} and the result {}, expected {rows} rows of {} and {}",
                counted(q.len(), "value"),
                counted(room, "value"),
                spec.dim,
                spec.value_dim
            ));
        }
        if let Some(scale) = scale.filter(|scale| !scale.is_finite()) {
            return problem(format!("scale={scale}, expected a finite number"));
        }
        if let Some(place) = q.iter().position(|x| !x.is_finite()) {
            let (row, column) = (place / spec.dim, place % spec.dim);
            let (b, head) = (row / m / query_heads, row / m % query_heads);
            return problem(format!(
                "q: sequence {b}, head {head}, query {}, coordinate {column} is {}, expected a \
                 finite number",
                row % m,
                q[place]
            ));
        }
        Ok(())
    }

    fn check_mask(&self, values: &[f32], place: [usize; 3], from: usize) -> Result<()> {
        let wrong = |value: &f32| value.is_nan() || *value == f32::INFINITY;
        let Some(token) = values.iter().position(wrong) else {
            return Ok(());
        };
        let [b, head, query] = place;
        Err(Error::invalid(format!(
            "{}mask: sequence {b}, head {head}, query {query}, token {} is {}, expected a number \
             or −∞",
            self.spec.prefix(),
            from + token,
            values[token]
        )))
    }
}
