//! Fitted axes as the bytes of a file: safetensors with metadata and checksums. The container is
//! that of files of codes.
//!
//! | tensor | type and shape | content |
//! |---|---|---|
//! | `variances` | F64 (d) | in falling order |
//! | `query_variances` | F64 (d) | if queries were given |
//! | `mean` | F32 (d) | |
//! | `axes` | F32 (kept, d) | axis by axis, at most d of them |
//!
//! | key of `__metadata__` | value, a string |
//! |---|---|
//! | `format`, `version` | `blockquant-axes` and `1` |
//! | `header_checksum` | as in a file of codes |
//! | `digest` | of the content, by which models are compared ([`Axes::digest`]) |
//! | `rows` | rows of the sample |
//! | `shrinkage` | the part of the way to their mean that the variances were moved |
//! | *tensor*`_checksum` | of the tensor's bytes |
//!
//! The first tensor starts at a multiple of 64 bytes. The digest is CRC-64/XZ of d, the number of
//! axes and the rows as eight bytes each, the shrinkage as float64, and then `mean`, `axes`,
//! `variances` and `query_variances`, all little-endian.
//!
//! A file is accepted only if [`Axes::new`] accepts what is read from it, and it would be written
//! with the same bytes.
//!
//! FROZEN: every later version reads files of version 1; `tests/golden` pins them.

use std::io::Write;
use std::path::Path;

use super::checksum::Checksum;
use super::container::{self, AXES, Entry, checksum_key, hexadecimal, number, parsed};
use super::tensors::Tensors;
use super::{atomic, read_file};
use crate::axes::Axes;
use crate::error::{Error, Result};

/// The numbers of a tensor.
enum Values<'a> {
    Float32(&'a [f32]),
    Float64(&'a [f64]),
}

impl Values<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Float32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Float64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

impl Axes {
    /// The length and the header of the file, and its tensors.
    fn file(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (dim, kept) = (self.dim(), self.kept());
        let queries = self.query_variances();
        let parts = [
            Some(("variances", vec![dim], Values::Float64(self.variances()))),
            queries.map(|values| ("query_variances", vec![dim], Values::Float64(values))),
            Some(("mean", vec![dim], Values::Float32(self.mean()))),
            Some(("axes", vec![kept, dim], Values::Float32(self.axes()))),
        ];
        let (mut entries, mut tensors) = (Vec::new(), Vec::new());
        for (name, shape, values) in parts.into_iter().flatten() {
            let bytes = values.bytes();
            let mut sum = Checksum::default();
            sum.write(&bytes);
            entries.push(Entry {
                name,
                dtype: match values {
                    Values::Float32(_) => "F32",
                    Values::Float64(_) => "F64",
                },
                shape,
                checksum: sum.value(),
            });
            tensors.push(bytes);
        }
        let pairs = [
            ("digest", hexadecimal(self.digest())),
            ("rows", self.rows().to_string()),
            ("shrinkage", self.shrinkage().to_string()),
        ];
        (AXES.render(&pairs, entries.iter(), 0), tensors)
    }

    /// Writes the model.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let (header, tensors) = self.file();
        std::iter::once(&header)
            .chain(&tensors)
            .try_for_each(|bytes| out.write_all(bytes))
            .map_err(|error| Error::io("", &error))
    }

    /// The bytes of the file that [`Axes::save`] writes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (header, tensors) = self.file();
        [&[header], &*tensors].concat().concat()
    }

    /// Writes the model to a path with [`Axes::write`]. The file is replaced atomically, as
    /// [`file::save`](crate::file::save) does it.
    ///
    /// # Errors
    /// If the folder cannot be written to. An existing file is then unchanged.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::replace(path, |out| self.write(out))
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// If any byte differs from what [`Axes::write`] writes, or [`Axes::new`] refuses the content.
    pub fn from_bytes(file: &[u8]) -> Result<Self> {
        let (bytes, json) = AXES.open(file)?;
        let metadata = container::metadata(&json)?;
        let tensors = Tensors::new(file, bytes.len(), &json)?;
        let (dim, kept) = (tensors.rows("mean")?, tensors.rows("axes")?);
        let has_queries = metadata.contains_key(&checksum_key("query_variances"));
        let queries = has_queries.then(|| tensors.doubles("query_variances", &[dim]));
        let axes = Self::new(
            tensors.floats("mean", &[dim])?,
            tensors.floats("axes", &[kept, dim])?,
            tensors.doubles("variances", &[dim])?,
            queries.transpose()?,
            number(metadata, "rows", parsed)?,
            number(metadata, "shrinkage", parsed)?,
        )?;
        AXES.check_header(bytes, axes.file().0)?;
        Ok(axes)
    }

    /// Reads the file at a path with [`Axes::from_bytes`].
    ///
    /// # Errors
    /// The errors of [`Axes::from_bytes`], which then name the path, and an error if the file
    /// cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&read_file(path)?).map_err(|error| error.at(path))
    }
}
