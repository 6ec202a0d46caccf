//! Reading the file of a cache. Everything is checked before it is used.

use std::path::Path;
use std::slice::ChunksExact;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::coded::{Coded, Entry, Side};
use super::coder::Coder;
use super::exact::Exact;
use super::spec::{CacheSpec, Center, Coding};
use super::stored::stored_dtype;
use super::tensor::Dtype;
use super::tensors::{Tensors, first, wrong};
use super::{KeyValueCache, PAGE_TOKENS, Sequence, exact_tokens};
use crate::error::{Error, Result};
use crate::file::container::{self, CACHE, digits, number, parsed, text};
use crate::file::{check_digest, read_file};
use crate::isa::Isa;
use crate::rotation::RotationKind;

/// The parameters of a file.
fn spec(metadata: &Map<String, Value>, tensors: &Tensors<'_>) -> Result<CacheSpec> {
    let whole = |key: &str| number(metadata, key, parsed::<usize>);
    let optional = |key: &str| metadata.contains_key(key);
    let coding = |method: &str, [scale, bits, search]: [&str; 3]| -> Result<Coding> {
        let rule = optional(scale).then(|| text(metadata, scale).map(str::to_owned));
        Ok(Coding {
            method: text(metadata, method)?.to_owned(),
            scale: rule.transpose()?,
            bits: number(metadata, bits, parsed)?,
            scale_search: optional(search).then(|| whole(search)).transpose()?,
        })
    };
    let (heads, dim) = (whole("heads")?, whole("dim")?);
    let center = match text(metadata, "center")? {
        "none" => Center::None,
        "static" => Center::Static,
        "rotary" => {
            let (words, _) = (tensors.bytes("frequencies", "F64", &[dim / 2])?).as_chunks::<8>();
            Center::Rotary(words.iter().map(|word| f64::from_le_bytes(*word)).collect())
        }
        "given" => Center::Given(tensors.floats("center", &[heads, dim])?),
        other => return wrong(format!("center is {other:?} in the metadata")),
    };
    let byte_scales = optional("byte_scales").then(|| number(metadata, "byte_scales", parsed));
    let layer = optional("layer").then(|| whole("layer"));
    Ok(CacheSpec {
        heads,
        dim,
        value_dim: whole("value_dim")?,
        batch: whole("batch")?,
        keys: coding("keys", ["key_scale_rule", "key_bits", "key_scale_search"])?,
        values: coding(
            "values",
            ["value_scale_rule", "value_bits", "value_scale_search"],
        )?,
        window: whole("window")?,
        sinks: whole("sinks")?,
        rollback: whole("rollback")?,
        center,
        centroids: whole("centroids")?,
        debias: number(metadata, "debias", parsed)?,
        byte_scales: byte_scales.transpose()?,
        dtype: dtype(metadata, "dtype")?,
        rotation: RotationKind::from_name(text(metadata, "rotation")?)?,
        seed: number(metadata, "seed", parsed)?,
        layer: layer.transpose()?,
    })
}

fn dtype(metadata: &Map<String, Value>, key: &str) -> Result<Option<Dtype>> {
    let given = metadata.contains_key(key);
    given
        .then(|| Dtype::from_name(text(metadata, key)?))
        .transpose()
}

impl KeyValueCache {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// If any byte differs from what [`KeyValueCache::write`] writes, or this build has another
    /// codebook or rotation.
    pub fn from_bytes(file: &[u8]) -> Result<Self> {
        let (bytes, json) = CACHE.open(file)?;
        let metadata = container::metadata(&json)?;
        let tensors = Tensors::new(file, bytes.len(), &json)?;
        let mut spec = spec(metadata, &tensors)?;
        spec.fill()?;
        let mut cache = Self::build(spec)?;
        for (key, coder) in [
            ("key_digest", &cache.built.keys),
            ("value_digest", &cache.built.values),
        ] {
            check_digest(coder.quantizer(), number(metadata, key, digits)?)?;
        }
        cache.length = number(metadata, "tokens", parsed)?;
        cache.dtype = dtype(metadata, "numbers")?;
        let exact = cache.read_exact(&tensors)?;
        let coded = cache.read_coded(&tensors)?;
        cache.sequences = cache.read_sequences(&tensors, &exact, &coded)?;
        cache.extend_tables();
        CACHE.check_header(bytes, cache.header()?)?;
        Ok(cache)
    }

    /// Reads the file at a path with [`KeyValueCache::from_bytes`].
    ///
    /// # Errors
    /// The errors of [`KeyValueCache::from_bytes`], which then name the path, and an error if the
    /// file cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&read_file(path)?).map_err(|error| error.at(path))
    }

    fn read_exact(&self, tensors: &Tensors<'_>) -> Result<Vec<Arc<Exact>>> {
        let CacheSpec {
            heads,
            dim,
            value_dim,
            ..
        } = self.spec;
        let lengths = tensors.lengths("exact_lengths")?;
        let rows = heads * lengths.iter().sum::<usize>();
        let stored = stored_dtype(self.dtype);
        let dtype = self.dtype.unwrap_or(Dtype::Float32);
        let mut keys = tensors.bytes("exact_keys", stored, &[rows, dim])?;
        let mut values = tensors.bytes("exact_values", stored, &[rows, value_dim])?;
        let page = |(page, &len): (usize, &usize)| {
            let rows = heads * len * dtype.bytes();
            let keys = first(&mut keys, rows * dim);
            let values = first(&mut values, rows * value_dim);
            let page_of = |page| Error::invalid(format!("exact page {page} has NaN or infinity"));
            Exact::from_bytes(dtype, heads, [dim, value_dim], len, [keys, values])
                .map(Arc::new)
                .ok_or_else(|| page_of(page))
        };
        lengths.iter().enumerate().map(page).collect()
    }

    fn read_coded(&self, tensors: &Tensors<'_>) -> Result<Vec<Arc<Coded>>> {
        let (spec, built, isa) = (&self.spec, &*self.built, Isa::current()?);
        let lengths = tensors.lengths("coded_lengths")?;
        let side = |coder: &Coder, coding: &Coding, scale, gamma, packed: &str| {
            let (heads, as_bytes) = (spec.heads, spec.has_byte_scales(coding));
            let rows = heads * lengths.iter().sum::<usize>();
            let mut bytes = tensors.bytes(packed, "U8", &[rows, coder.row_bytes()])?;
            let scales = tensors.scales(scale, &lengths, heads, as_bytes)?;
            let mut gammas = Vec::new();
            if coder.quantizer().shape().has_gamma {
                gammas = tensors.scales(gamma, &lengths, heads, as_bytes)?;
            }
            let mut gammas = gammas.into_iter();
            let sides = lengths.iter().zip(scales).map(|(len, scales)| Side {
                packed: first(&mut bytes, heads * len * coder.row_bytes()).to_vec(),
                scales,
                gammas: gammas.next(),
            });
            Ok::<Vec<Side>, Error>(sides.collect())
        };
        let keys = side(
            &built.keys,
            &spec.keys,
            ["key_scale", "key_scale_base"],
            ["key_gamma", "key_gamma_base"],
            "key_packed",
        )?;
        let values = side(
            &built.values,
            &spec.values,
            ["value_scale", "value_scale_base"],
            ["value_gamma", "value_gamma_base"],
            "value_packed",
        )?;
        let bits = spec.centroid_bits();
        let bytes_of = |len: usize| (len * bits as usize).div_ceil(8) * spec.heads;
        let mut indexes: &[u8] = &[];
        if bits > 0 {
            let bytes = lengths.iter().map(|&len| bytes_of(len)).sum();
            indexes = tensors.bytes("centroid_indexes", "U8", &[bytes])?;
        }
        let mut pages = Vec::with_capacity(lengths.len());
        for (&len, (keys, values)) in lengths.iter().zip(keys.into_iter().zip(values)) {
            let page = Coded {
                len,
                keys,
                values,
                centroids: first(&mut indexes, bytes_of(len)).to_vec(),
            };
            let mut index = [0u8; PAGE_TOKENS];
            for head in 0..spec.heads {
                page.read_centroids(isa, head, bits, &mut index[..len]);
                let beyond = |&index: &u8| usize::from(index) >= spec.centroids.max(1);
                if index[..len].iter().any(beyond) {
                    return wrong(format!(
                        "centroid_indexes: coded page {} names a centroid beyond {}",
                        pages.len(),
                        spec.centroids
                    ));
                }
            }
            pages.push(Arc::new(page));
        }
        Ok(pages)
    }

    fn read_sequences(
        &self,
        tensors: &Tensors<'_>,
        exact: &[Arc<Exact>],
        coded: &[Arc<Coded>],
    ) -> Result<Vec<Sequence>> {
        let spec = &self.spec;
        let mut centers = Vec::new();
        if spec.vectors() > 0 {
            let shape = [
                tensors.rows("centers")?,
                spec.heads,
                spec.vectors(),
                spec.dim,
            ];
            let all = tensors.floats("centers", &shape)?;
            let size = spec.heads * spec.vectors() * spec.dim;
            centers.extend(
                all.chunks_exact(size)
                    .map(|center| Arc::new(center.to_vec())),
            );
        }
        let batch = tensors.rows("sequences")?;
        let entries = tensors.rows("tables")?;
        let tables = tensors.words("tables", &[entries, 2])?;
        let mut tables = tables.chunks_exact(2);
        let numbers = tensors.words("sequences", &[batch, 5])?;
        let mut sequences = Vec::new();
        for (b, numbers) in numbers.chunks_exact(5).enumerate() {
            let damaged = |what: &str| Error::invalid(format!("sequence {b} {what}"));
            let missing = || damaged("names a page that is not there");
            let sinks = pages(&mut tables, numbers[1], exact).ok_or_else(missing)?;
            let named: Vec<_> = tables.by_ref().take(numbers[2]).collect();
            let mut entries = Vec::new();
            for pair in named {
                let page = coded.get(pair[0]).cloned().ok_or_else(missing)?;
                let kept = pair[1].checked_sub(1);
                let kept = kept.map(|kept| exact.get(kept).cloned().ok_or_else(missing));
                let exact = kept.transpose()?;
                if exact.as_ref().is_some_and(|exact| exact.len() != page.len) {
                    return Err(damaged(
                        "keeps another number of exact tokens than coded ones",
                    ));
                }
                entries.push(Entry { page, exact });
            }
            let recent = pages(&mut tables, numbers[3], exact).ok_or_else(missing)?;
            let center = numbers[4].checked_sub(1);
            let center = center.map(|center| centers.get(center).cloned().ok_or_else(missing));
            let sequence = Sequence {
                pads: numbers[0],
                coded_tokens: entries.iter().map(|entry| entry.page.len).sum(),
                sinks,
                coded: entries,
                recent,
                center: center.transpose()?,
            };
            sequence.check(spec, self.length).map_err(damaged)?;
            sequences.push(sequence);
        }
        if sequences.is_empty() || tables.next().is_some() {
            return wrong("the tables of pages do not belong to the sequences");
        }
        Ok(sequences)
    }
}

/// The exact pages that the next entries of a table name, if they are all there.
fn pages(
    tables: &mut ChunksExact<'_, usize>,
    count: usize,
    exact: &[Arc<Exact>],
) -> Option<Vec<Arc<Exact>>> {
    let named = tables.by_ref().take(count);
    let pages: Option<Vec<_>> = named.map(|pair| exact.get(pair[0]).cloned()).collect();
    pages.filter(|pages| pages.len() == count)
}

impl Sequence {
    /// Checks that the pages are as a cache has them.
    fn check(&self, spec: &CacheSpec, length: usize) -> std::result::Result<(), &'static str> {
        let is_full = |pages: &[Arc<Exact>]| {
            let full = pages.len().saturating_sub(1);
            pages[..full].iter().all(|page| page.len() == PAGE_TOKENS)
        };
        if !is_full(&self.sinks) || !is_full(&self.recent) {
            return Err("has a page that is not full before the last one");
        }
        let rest = self.coded_tokens + exact_tokens(&self.recent);
        let sinks = self.sink_tokens();
        if sinks > spec.sinks || (rest > 0 && sinks < spec.sinks) {
            return Err("has another number of sinks than the cache");
        }
        if self.pads + self.tokens() != length {
            return Err("has another number of tokens than the cache");
        }
        if spec.vectors() > 0 && self.coded_tokens > 0 && self.center.is_none() {
            return Err("has coded tokens without their center");
        }
        Ok(())
    }
}
