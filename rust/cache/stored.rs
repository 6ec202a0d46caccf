//! A cache as the bytes of a file: safetensors with metadata and checksums. The container is that
//! of files of codes.
//!
//! | tensor | type and shape | content |
//! |---|---|---|
//! | `frequencies` | F64 (dim/2) | with a rotary center |
//! | `sequences` | U32 (batch, 5) | pads; pages of sinks, coded pages, recent pages; number of the centers + 1, or 0 |
//! | `tables` | U32 (entries, 2) | sequence by sequence, in the order of the tokens: the number of a page, and for a coded page that of its exact tokens + 1, or 0 |
//! | `exact_lengths`, `coded_lengths` | U32 (pages) | tokens of each page |
//! | `center` | F32 (heads, dim) | with given centers |
//! | `centers` | F32 (number, heads, vectors, dim) | the estimated ones |
//! | `exact_keys`, `exact_values` | F32, F16 or BF16 (rows, coordinates) | page by page, head by head |
//! | `key_scale`, `key_gamma`, `value_scale`, `value_gamma` | F32 or U8 (rows) | γ where the method has it |
//! | …`_base` | I16 (pages, heads) | for scales that are bytes |
//! | `key_packed`, `value_packed` | U8 (rows, row bytes) | |
//! | `centroid_indexes` | U8 (bytes) | with centroids |
//!
//! Tensors are in the order of this table, the wider types first, so that every number is aligned.
//! Pages and centers are numbered in the order in which `tables` and `sequences` name them first,
//! and each is stored once. Equal states give equal bytes.
//!
//! A file is accepted only if the cache that is read from it would be written with the same bytes.
//!
//! FROZEN: every later version reads files of version 1; `tests/golden` pins them.

use std::io::Write;
use std::path::Path;

use super::exact::Exact;
use super::scales::Scales;
use super::size::Parts;
use super::tensor::{Dtype, Values};
use super::{Center, KeyValueCache};
use crate::error::{Error, Result};
use crate::file::checksum::Checksum;
use crate::file::container::{CACHE, Entry, hexadecimal, width};
use crate::file::{atomic, digest};
use crate::threads;

/// Takes the bytes of a tensor, piece by piece.
type Give<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// Gives all bytes of a tensor.
type Emit<'a> = dyn Fn(&mut Give<'_>) -> Result<()> + 'a;

/// A tensor of the file with what writes its bytes.
struct Field<'a> {
    entry: Entry,
    emit: Box<Emit<'a>>,
}

/// The name of a type in the header.
pub(super) fn stored_dtype(dtype: Option<Dtype>) -> &'static str {
    match dtype {
        Some(Dtype::Float16) => "F16",
        Some(Dtype::Bfloat16) => "BF16",
        Some(Dtype::Float32) | None => "F32",
    }
}

/// Gives numbers in the byte order of a file.
macro_rules! little_endian {
    ($values:expr, $give:expr) => {{
        let bytes = $values.into_iter().flat_map(|value| value.to_le_bytes());
        $give(&bytes.collect::<Vec<u8>>())
    }};
}

/// Gives exact rows.
fn give_values(values: Values<'_>, give: &mut Give<'_>) -> Result<()> {
    match values {
        Values::Float32(values) => little_endian!(values.iter().copied(), give),
        Values::Float16(values) => little_endian!(values.iter().copied(), give),
        Values::Bfloat16(values) => little_endian!(values.iter().copied(), give),
    }
}

/// The fields of a file as they are collected.
struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    fn add(
        &mut self,
        name: &'static str,
        dtype: &'static str,
        shape: impl Into<Vec<usize>>,
        emit: impl Fn(&mut Give<'_>) -> Result<()> + 'a,
    ) {
        let entry = Entry {
            name,
            dtype,
            shape: shape.into(),
            checksum: 0,
        };
        let emit = Box::new(emit);
        self.0.push(Field { entry, emit });
    }

    fn words(&mut self, name: &'static str, shape: impl Into<Vec<usize>>, words: Vec<u32>) {
        self.add(name, "U32", shape, move |give| {
            little_endian!(words.iter().copied(), give)
        });
    }

    fn floats<T: AsRef<[f32]> + 'a>(
        &mut self,
        name: &'static str,
        shape: impl Into<Vec<usize>>,
        parts: Vec<T>,
    ) {
        self.add(name, "F32", shape, move |give| {
            for part in &parts {
                little_endian!(part.as_ref().iter().copied(), give)?;
            }
            Ok(())
        });
    }

    /// Scales of all pages, with their bases if they are bytes.
    fn scales(
        &mut self,
        [name, base]: [&'static str; 2],
        rows: usize,
        heads: usize,
        as_bytes: bool,
        pages: Vec<&'a Scales>,
    ) {
        if as_bytes {
            let bases = pages.clone();
            self.add(base, "I16", [pages.len(), heads], move |give| {
                for page in &bases {
                    little_endian!(page.parts().1.iter().copied(), give)?;
                }
                Ok(())
            });
        }
        self.add(
            name,
            if as_bytes { "U8" } else { "F32" },
            [rows],
            move |give| {
                for page in &pages {
                    let (floats, _, bytes) = page.parts();
                    little_endian!(floats.iter().copied(), give)?;
                    give(bytes)?;
                }
                Ok(())
            },
        );
    }
}

/// A number as it is stored.
fn word(value: usize, what: &str) -> Result<u32> {
    u32::try_from(value).map_err(|_| {
        Error::invalid(format!(
            "{value} {what}, expected fewer than 2^32: the cache cannot be saved"
        ))
    })
}

impl KeyValueCache {
    /// The tables of pages, with the distinct pages in order.
    fn numbered(&self) -> Result<(Vec<u32>, Vec<u32>, Parts<'_>)> {
        let mut parts = Parts::new();
        let (mut sequences, mut tables) = (Vec::new(), Vec::new());
        for sequence in &self.sequences {
            for page in &sequence.sinks {
                tables.extend([word(parts.exact.number(page), "pages")?, 0]);
            }
            for entry in &sequence.coded {
                let exact = entry.exact.as_ref();
                let exact = exact.map_or(0, |exact| parts.exact.number(exact) + 1);
                let page = parts.coded.number(&entry.page);
                tables.extend([word(page, "pages")?, word(exact, "pages")?]);
            }
            for page in &sequence.recent {
                tables.extend([word(parts.exact.number(page), "pages")?, 0]);
            }
            let center = sequence.center.as_ref();
            let center = center.map_or(0, |center| parts.centers.number(center) + 1);
            for count in [
                sequence.pads,
                sequence.sinks.len(),
                sequence.coded.len(),
                sequence.recent.len(),
                center,
            ] {
                sequences.push(word(count, "tokens or pages")?);
            }
        }
        Ok((sequences, tables, parts))
    }

    fn fields(&self) -> Result<Vec<Field<'_>>> {
        let (spec, built) = (&self.spec, &*self.built);
        let (heads, dim) = (spec.heads, spec.dim);
        let (sequences, tables, parts) = self.numbered()?;
        let (exact, coded, centers) = (parts.exact.all, parts.coded.all, parts.centers.all);
        let mut fields = Fields(Vec::new());
        if let Center::Rotary(frequencies) = &spec.center {
            fields.add("frequencies", "F64", [dim / 2], move |give| {
                little_endian!(frequencies.iter().copied(), give)
            });
        }
        fields.words("sequences", [self.sequences.len(), 5], sequences);
        fields.words("tables", [tables.len() / 2, 2], tables);
        let lengths = |lengths: Vec<usize>| -> Vec<u32> {
            lengths.into_iter().map(|length| length as u32).collect()
        };
        let exact_lengths = lengths(exact.iter().map(|page| page.len()).collect());
        let coded_lengths = lengths(coded.iter().map(|page| page.len).collect());
        let rows = |lengths: &[u32]| heads * lengths.iter().map(|&n| n as usize).sum::<usize>();
        let (exact_rows, coded_rows) = (rows(&exact_lengths), rows(&coded_lengths));
        fields.words("exact_lengths", [exact.len()], exact_lengths);
        fields.words("coded_lengths", [coded.len()], coded_lengths);
        if let Center::Given(center) = &spec.center {
            fields.floats("center", [heads, dim], vec![center]);
        }
        if spec.vectors() > 0 {
            let shape = [centers.len(), heads, spec.vectors(), dim];
            fields.floats("centers", shape, centers);
        }
        let dtype = stored_dtype(self.dtype);
        type Read = for<'b> fn(&'b Exact, usize) -> Values<'b>;
        let sides: [(_, _, Read); 2] = [
            ("exact_keys", dim, Exact::keys),
            ("exact_values", spec.value_dim, Exact::values),
        ];
        for (name, dim, read) in sides {
            let pages = exact.clone();
            fields.add(name, dtype, [exact_rows, dim], move |give| {
                for page in &pages {
                    threads::check();
                    for head in 0..heads {
                        give_values(read(page, head), give)?;
                    }
                }
                Ok(())
            });
        }
        let sides = [
            (
                ["key_scale", "key_scale_base"],
                ["key_gamma", "key_gamma_base"],
                "key_packed",
                (&built.keys, &spec.keys),
                coded.iter().map(|page| &page.keys).collect::<Vec<_>>(),
            ),
            (
                ["value_scale", "value_scale_base"],
                ["value_gamma", "value_gamma_base"],
                "value_packed",
                (&built.values, &spec.values),
                coded.iter().map(|page| &page.values).collect(),
            ),
        ];
        for (scale, gamma, packed, (coder, coding), pages) in sides {
            let as_bytes = spec.has_byte_scales(coding);
            let scales = pages.iter().map(|side| &side.scales).collect();
            fields.scales(scale, coded_rows, heads, as_bytes, scales);
            if coder.quantizer().shape().has_gamma {
                let gammas = pages.iter().filter_map(|side| side.gammas.as_ref());
                fields.scales(gamma, coded_rows, heads, as_bytes, gammas.collect());
            }
            fields.add(packed, "U8", [coded_rows, coder.row_bytes()], move |give| {
                pages.iter().try_for_each(|side| give(&side.packed))
            });
        }
        if spec.centroid_bits() > 0 {
            let bytes = coded.iter().map(|page| page.centroids.len()).sum::<usize>();
            fields.add("centroid_indexes", "U8", [bytes], move |give| {
                coded.iter().try_for_each(|page| give(&page.centroids))
            });
        }
        let mut fields = fields.0;
        fields.sort_by_key(|field| std::cmp::Reverse(width(field.entry.dtype)));
        Ok(fields)
    }

    /// The parameters as the metadata has them.
    fn pairs(&self) -> Result<Vec<(&'static str, String)>> {
        let (spec, built) = (&self.spec, &*self.built);
        let mut pairs = vec![
            ("key_digest", hexadecimal(digest(built.keys.quantizer())?)),
            (
                "value_digest",
                hexadecimal(digest(built.values.quantizer())?),
            ),
            ("heads", spec.heads.to_string()),
            ("dim", spec.dim.to_string()),
            ("value_dim", spec.value_dim.to_string()),
            ("batch", spec.batch.to_string()),
            ("tokens", self.length.to_string()),
            ("keys", spec.keys.method.clone()),
            ("key_bits", spec.keys.bits.to_string()),
            ("values", spec.values.method.clone()),
            ("value_bits", spec.values.bits.to_string()),
            ("window", spec.window.to_string()),
            ("sinks", spec.sinks.to_string()),
            ("rollback", spec.rollback.to_string()),
            ("center", spec.center.name().to_owned()),
            ("centroids", spec.centroids.to_string()),
            ("debias", spec.debias.to_string()),
            ("rotation", spec.rotation.name().to_owned()),
            ("seed", spec.seed.to_string()),
        ];
        let optional = [
            ("key_scale_rule", spec.keys.scale.clone()),
            ("value_scale_rule", spec.values.scale.clone()),
            (
                "key_scale_search",
                spec.keys.scale_search.map(|count| count.to_string()),
            ),
            (
                "value_scale_search",
                spec.values.scale_search.map(|count| count.to_string()),
            ),
            ("byte_scales", spec.byte_scales.map(|flag| flag.to_string())),
            ("dtype", spec.dtype.map(|dtype| dtype.name().to_owned())),
            ("numbers", self.dtype.map(|dtype| dtype.name().to_owned())),
            ("layer", spec.layer.map(|layer| layer.to_string())),
        ];
        let optional = optional.into_iter();
        pairs.extend(optional.filter_map(|(key, value)| Some((key, value?))));
        Ok(pairs)
    }

    /// The length and the header of the file, and its tensors.
    fn file(&self) -> Result<(Vec<u8>, Vec<Field<'_>>)> {
        let mut fields = self.fields()?;
        for field in &mut fields {
            let mut sum = Checksum::default();
            (field.emit)(&mut |bytes| {
                sum.write(bytes);
                Ok(())
            })?;
            field.entry.checksum = sum.value();
        }
        let entries = fields.iter().map(|field| &field.entry);
        let header = CACHE.render(&self.pairs()?, entries, 0);
        Ok((header, fields))
    }

    /// The length and the header of the file.
    pub(super) fn header(&self) -> Result<Vec<u8>> {
        Ok(self.file()?.0)
    }

    /// Writes the cache with all its tokens.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let (header, fields) = self.file()?;
        let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|error| Error::io("", &error));
        put(&header)?;
        for field in &fields {
            (field.emit)(&mut put)?;
        }
        Ok(())
    }

    /// The bytes of the file that [`KeyValueCache::save`] writes.
    ///
    /// # Errors
    /// If a digest cannot be computed.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the cache to a path with [`KeyValueCache::write`]. The file is replaced atomically,
    /// as [`file::save`](crate::file::save) does it.
    ///
    /// # Errors
    /// If the folder cannot be written to. An existing file is then unchanged.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::replace(path, |out| self.write(out))
    }
}
