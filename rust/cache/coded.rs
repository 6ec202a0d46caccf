//! Coded pages: the codes of up to 64 tokens, all heads together, and how they are made.

use super::center::{nearest, unturned};
use super::coder::{Coder, Part};
use super::exact::Exact;
use super::scales::{Scales, first_rows};
use super::spec::{CacheSpec, Center};
use super::tensor::Values;
use super::{Built, PAGE_TOKENS};
use crate::codes::{Codes, Field, Layout};
use crate::error::{Error, Result};
use crate::isa::Isa;

/// The codes of the keys or of the values of a page, head by head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Side {
    pub packed: Vec<u8>,
    pub scales: Scales,
    pub gammas: Option<Scales>,
}

/// Up to [`PAGE_TOKENS`] coded tokens.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Coded {
    pub len: usize,
    pub keys: Side,
    pub values: Side,
    /// The indexes of the centroids, packed head by head, each head from a byte on.
    pub centroids: Vec<u8>,
}

/// Where a page lies, for its errors and its angles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub sequence: usize,
    /// The first token, counted from the sequence's own first one.
    pub first: usize,
    pub pads: usize,
}

impl Side {
    fn new(codes: Codes, heads: usize, as_bytes: bool) -> Self {
        let scales = |scales| Scales::new(scales, heads, as_bytes);
        Self {
            packed: codes.packed,
            scales: scales(codes.scale),
            gammas: codes.residual_norm.map(scales),
        }
    }

    /// The packed rows of a head.
    fn packed(&self, head: usize, len: usize, coder: &Coder) -> &[u8] {
        let bytes = len * coder.row_bytes();
        &self.packed[head * bytes..][..bytes]
    }

    /// The rows of a head, with room for their scales as float32.
    pub(super) fn part<'a>(
        &'a self,
        head: usize,
        coder: &Coder,
        scale: &'a mut [f32],
        gamma: &'a mut [f32],
    ) -> Part<'a> {
        self.scales.read(head, scale);
        let gamma = self.gammas.as_ref().map(|gammas| {
            gammas.read(head, gamma);
            &*gamma
        });
        Part {
            packed: self.packed(head, scale.len(), coder),
            scale,
            gamma,
        }
    }

    fn truncated(&self, rows: usize, len: usize, row_bytes: usize) -> Self {
        let gammas = self.gammas.as_ref();
        Self {
            packed: first_rows(&self.packed, rows, len, row_bytes),
            scales: self.scales.truncated(rows, len),
            gammas: gammas.map(|gammas| gammas.truncated(rows, len)),
        }
    }

    fn bytes(&self) -> usize {
        let gammas = self.gammas.as_ref().map_or(0, Scales::bytes);
        self.packed.len() + self.scales.bytes() + gammas
    }
}

/// The layout of the centroid indexes of a head.
fn index_layout(count: usize, width: u32) -> Layout {
    Layout::new([Field { count, width }])
}

impl Coded {
    /// The bytes of the page.
    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes() + self.centroids.len()
    }

    /// Writes the index of the centroid of each token of a head.
    pub(super) fn read_centroids(&self, isa: Isa, head: usize, width: u32, out: &mut [u8]) {
        if width == 0 {
            out.fill(0);
            return;
        }
        let layout = index_layout(self.len, width);
        let bytes = layout.row_bytes();
        let mut index = [0u16; PAGE_TOKENS];
        let index = &mut index[..self.len];
        layout.unpack(isa, &self.centroids[head * bytes..][..bytes], index);
        for (out, &index) in out.iter_mut().zip(&*index) {
            *out = index as u8;
        }
    }

    /// The first `len` tokens.
    pub(super) fn truncated(&self, isa: Isa, built: &Built, spec: &CacheSpec, len: usize) -> Self {
        let width = spec.centroid_bits();
        let mut centroids = Vec::new();
        if width > 0 {
            let layout = index_layout(len, width);
            let mut index = [0u8; PAGE_TOKENS];
            for head in 0..spec.heads {
                self.read_centroids(isa, head, width, &mut index[..self.len]);
                centroids.extend(packed(isa, &layout, &index[..len]));
            }
        }
        Self {
            len,
            keys: (self.keys).truncated(self.len, len, built.keys.row_bytes()),
            values: (self.values).truncated(self.len, len, built.values.row_bytes()),
            centroids,
        }
    }

    /// Codes the tokens of a page. `row(head, i)` has the key and the value of the i-th token, and
    /// `vectors` the estimated centers of all heads.
    ///
    /// # Errors
    /// If a norm is beyond float32.
    pub(super) fn encode<'a>(
        isa: Isa,
        built: &Built,
        spec: &CacheSpec,
        vectors: &[f32],
        place: Place,
        row: impl Fn(usize, usize) -> (Values<'a>, Values<'a>),
    ) -> Result<Self> {
        let CacheSpec {
            heads,
            dim,
            value_dim,
            ..
        } = *spec;
        let angles = built.rotary.as_ref();
        let angles = angles.map(|rotary| rotary.angles(place.first, PAGE_TOKENS));
        let width = spec.centroid_bits();
        let mut centroids = Vec::new();
        let mut keys = vec![0f32; heads * PAGE_TOKENS * dim];
        let mut values = vec![0f32; heads * PAGE_TOKENS * value_dim];
        let mut point = vec![0f64; dim];
        let mut offset = vec![0f32; dim];
        for head in 0..heads {
            let of_head = head * PAGE_TOKENS;
            let vectors = &vectors[head * spec.vectors() * dim..][..spec.vectors() * dim];
            let mut index = [0u8; PAGE_TOKENS];
            for (i, index) in index.iter_mut().enumerate() {
                let (key, value) = row(head, i);
                let r = &mut keys[(of_head + i) * dim..][..dim];
                key.write(r);
                value.write(&mut values[(of_head + i) * value_dim..][..value_dim]);
                if width > 0 {
                    unturned(angles.as_ref(), i, r, &mut point);
                    *index = nearest(&point, vectors.chunks_exact(dim)) as u8;
                }
                let center = match &spec.center {
                    Center::None => continue,
                    Center::Given(center) => &center[head * dim..][..dim],
                    Center::Static | Center::Rotary(_) => {
                        &vectors[usize::from(*index) * dim..][..dim]
                    }
                };
                let center = match &angles {
                    Some(angles) => {
                        angles.turn(i, center, &mut offset);
                        &offset
                    }
                    None => center,
                };
                for (r, center) in r.iter_mut().zip(center) {
                    *r -= center;
                }
            }
            if width > 0 {
                centroids.extend(packed(isa, &index_layout(PAGE_TOKENS, width), &index));
            }
        }
        let encode = |coder: &Coder, rows: &[f32], what: &str| {
            let codes = coder.encode(isa, rows);
            codes.map_err(|error| beyond(error, what, place, spec))
        };
        let codes = [
            encode(&built.keys, &keys, "keys")?,
            encode(&built.values, &values, "values")?,
        ];
        let [keys, values] = codes;
        Ok(Self {
            len: PAGE_TOKENS,
            keys: Side::new(keys, heads, spec.has_byte_scales(&spec.keys)),
            values: Side::new(values, heads, spec.has_byte_scales(&spec.values)),
            centroids,
        })
    }
}

/// Packs the indexes of a head.
fn packed(isa: Isa, layout: &Layout, index: &[u8]) -> Vec<u8> {
    let wide: Vec<u16> = index.iter().map(|&index| index.into()).collect();
    let mut bytes = vec![0; layout.row_bytes()];
    layout.pack(isa, &wide, &mut bytes);
    bytes
}

/// An error of the quantizer with the place in the cache; its rows are all tokens of each head.
fn beyond(error: Error, what: &str, place: Place, spec: &CacheSpec) -> Error {
    let (row, problem) = match error {
        Error::Overflow { what, row, value } => (row, format!("the {what} {value:e}")),
        Error::NotFinite { row, column, value } => (
            row,
            format!("{value} in coordinate {column} less its center"),
        ),
        other => return other,
    };
    let (head, token) = (
        row / PAGE_TOKENS,
        place.pads + place.first + row % PAGE_TOKENS,
    );
    Error::invalid(format!(
        "{}{what}: sequence {}, head {head}, token {token} has {problem}, which is beyond float32",
        spec.prefix(),
        place.sequence,
    ))
}

/// A coded page in the table of a sequence, with its exact tokens as long as it can be uncoded.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub page: std::sync::Arc<Coded>,
    pub exact: Option<std::sync::Arc<Exact>>,
}
