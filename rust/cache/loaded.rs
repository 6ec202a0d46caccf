//! Reading the file of a cache. Everything is checked before it is used.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::slice::ChunksExact;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::coded::{Coded, Entry, Side};
use super::coder::Coder;
use super::exact::Exact;
use super::scales::Scales;
use super::spec::{CacheSpec, Center, Coding};
use super::stored::stored_dtype;
use super::tensor::Dtype;
use super::{KeyValueCache, PAGE_TOKENS, Sequence, exact_tokens};
use crate::error::{Error, Result, counted};
use crate::file::container::{
    self, CACHE, check_length, checksum_key, digits, float32, number, parsed, text, width,
};
use crate::file::{check_digest, check_finite, check_tensor, read_file};
use crate::isa::Isa;
use crate::rotation::RotationKind;

/// The tensors of a file by name, with their types and shapes.
struct Tensors<'a> {
    file: &'a [u8],
    found: BTreeMap<&'a str, (&'a str, Vec<usize>, Range<usize>)>,
}

fn wrong<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::invalid(text))
}

/// The entry of a tensor in the header: its type, its shape, and its range from `start` on.
fn entry(name: &str, value: &Value, start: usize) -> Result<(String, Vec<usize>, Range<u128>)> {
    let unreadable = || Error::invalid(format!("the header does not describe the tensor {name}"));
    let numbers = |value: &Value| -> Option<Vec<usize>> {
        let numbers = value.as_array()?.iter();
        numbers.map(|n| usize::try_from(n.as_u64()?).ok()).collect()
    };
    let dtype = value["dtype"].as_str().ok_or_else(unreadable)?;
    let shape = numbers(&value["shape"]).ok_or_else(unreadable)?;
    let offsets = numbers(&value["data_offsets"]).ok_or_else(unreadable)?;
    let &[from, to] = &*offsets else {
        return Err(unreadable());
    };
    let size = width(dtype).map(|width| {
        let sizes = shape.iter().map(|&n| n as u128);
        sizes.fold(width as u128, u128::saturating_mul)
    });
    let (from, to) = (from as u128, to as u128);
    if from > to || size != Some(to - from) {
        return wrong(format!(
            "the tensor {name} is {dtype} of shape {shape:?} in the bytes {from} to {to} after \
             the header"
        ));
    }
    let start = start as u128;
    Ok((dtype.to_owned(), shape, start + from..start + to))
}

impl<'a> Tensors<'a> {
    /// Checks the length of the file and the checksum of each tensor.
    fn new(file: &'a [u8], start: usize, json: &'a Value) -> Result<Self> {
        let metadata = container::metadata(json)?;
        let header = json.as_object().into_iter().flatten();
        let mut found = BTreeMap::new();
        let mut end = start as u128;
        for (name, value) in header.filter(|(name, _)| *name != "__metadata__") {
            let (_, shape, range) = entry(name, value, start)?;
            end = end.max(range.end);
            let dtype = value["dtype"].as_str().unwrap_or_default();
            found.insert(name.as_str(), (dtype, shape, range));
        }
        check_length(file, end, "its tensors")?;
        let narrow = |(name, (dtype, shape, range)): (_, (_, _, Range<u128>))| {
            // The length of the file is at least the end of each range.
            let range = range.start as usize..range.end as usize;
            (name, (dtype, shape, range))
        };
        let found: BTreeMap<_, _> = found.into_iter().map(narrow).collect();
        for (name, (_, _, range)) in &found {
            let expected = number(metadata, &checksum_key(name), digits)?;
            check_tensor(name, expected, file, range)?;
        }
        Ok(Self { file, found })
    }

    /// The bytes of a tensor of this type and shape.
    fn bytes(&self, name: &str, dtype: &str, shape: &[usize]) -> Result<&'a [u8]> {
        let Some((found, found_shape, range)) = self.found.get(name) else {
            return wrong(format!("the tensor {name} is missing"));
        };
        if *found != dtype || found_shape != shape {
            return wrong(format!(
                "the tensor {name} is {found} of shape {found_shape:?}, expected {dtype} of shape \
                 {shape:?}"
            ));
        }
        Ok(&self.file[range.clone()])
    }

    /// The size of the first axis of a tensor.
    fn rows(&self, name: &str) -> Result<usize> {
        match self.found.get(name) {
            Some((_, shape, _)) if !shape.is_empty() => Ok(shape[0]),
            _ => wrong(format!("the tensor {name} is missing")),
        }
    }

    fn words(&self, name: &str, shape: &[usize]) -> Result<Vec<usize>> {
        let (words, _) = self.bytes(name, "U32", shape)?.as_chunks::<4>();
        let word = |word: &[u8; 4]| u32::from_le_bytes(*word) as usize;
        Ok(words.iter().map(word).collect())
    }

    fn floats(&self, name: &'static str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.bytes(name, "F32", shape)?;
        check_finite(name, float32(bytes))?;
        Ok(float32(bytes).collect())
    }

    /// The number of tokens of each page.
    fn lengths(&self, name: &str) -> Result<Vec<usize>> {
        let lengths = self.words(name, &[self.rows(name)?])?;
        match lengths.iter().position(|n| !(1..=PAGE_TOKENS).contains(n)) {
            None => Ok(lengths),
            Some(page) => wrong(format!(
                "{name}: page {page} has {}, expected 1 to {PAGE_TOKENS}",
                counted(lengths[page], "token")
            )),
        }
    }

    /// Scales or γ of all pages.
    fn scales(
        &self,
        [name, base]: [&'static str; 2],
        lengths: &[usize],
        heads: usize,
        as_bytes: bool,
    ) -> Result<Vec<Scales>> {
        let rows = heads * lengths.iter().sum::<usize>();
        let mut sizes = lengths.iter().map(|length| length * heads);
        if !as_bytes {
            let all = self.floats(name, &[rows])?;
            if let Some(row) = all.iter().position(|scale| *scale < 0.0) {
                return wrong(format!("{name} of row {row} is {}, below 0", all[row]));
            }
            let mut all = &all[..];
            return Ok(sizes
                .by_ref()
                .map(|size| Scales::Floats(first(&mut all, size).to_vec()))
                .collect());
        }
        let mut bytes = self.bytes(name, "U8", &[rows])?;
        let (words, _) = (self.bytes(base, "I16", &[lengths.len(), heads])?).as_chunks::<2>();
        let bases: Vec<i16> = words.iter().map(|word| i16::from_le_bytes(*word)).collect();
        if let Some(place) = bases.iter().position(|&base| !Scales::is_base(base)) {
            return wrong(format!("{base} {place} is {}, out of range", bases[place]));
        }
        let pages = sizes.zip(bases.chunks(heads));
        Ok(pages
            .map(|(size, bases)| Scales::Bytes {
                bases: bases.to_vec(),
                bytes: first(&mut bytes, size).to_vec(),
            })
            .collect())
    }
}

/// Takes the first values of a slice, which has as many.
fn first<'a, T>(values: &mut &'a [T], count: usize) -> &'a [T] {
    let (first, rest) = values.split_at(count);
    *values = rest;
    first
}

/// The parameters of a file.
fn spec(metadata: &Map<String, Value>, tensors: &Tensors<'_>) -> Result<CacheSpec> {
    let whole = |key| number(metadata, key, parsed::<usize>);
    let optional = |key: &str| metadata.contains_key(key);
    let coding = |method: &str, scale: &str, bits: &str| -> Result<Coding> {
        let rule = optional(scale).then(|| text(metadata, scale).map(str::to_owned));
        Ok(Coding {
            method: text(metadata, method)?.to_owned(),
            scale: rule.transpose()?,
            bits: number(metadata, bits, parsed)?,
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
        keys: coding("keys", "key_scale_rule", "key_bits")?,
        values: coding("values", "value_scale_rule", "value_bits")?,
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
