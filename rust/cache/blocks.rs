//! What attention reads: rows of one head, exact or coded, their centers, and the queries.

use super::coder::{Coder, Part};
use super::tables::Tables;

/// Rows of one head that follow each other.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    /// Rows as they came.
    Exact {
        /// n × dim.
        keys: &'a [f32],
        /// n × value_dim.
        values: &'a [f32],
    },
    /// Rows as codes.
    Coded {
        /// The codes of the keys minus their centers.
        keys: Part<'a>,
        /// The codes of the values.
        values: Part<'a>,
        /// The position of the first row, for the rotary embedding.
        position: usize,
        /// The number of each row's center; 0 for all rows if it is not given.
        centroid: Option<&'a [u8]>,
    },
}

/// The centers that were subtracted from the keys before coding.
#[derive(Debug, Clone, Copy)]
pub enum Offset<'a> {
    /// None.
    None,
    /// One or several vectors, C × dim.
    Static {
        /// C × dim.
        centers: &'a [f32],
    },
    /// One or several vectors, which the rotary embedding of the row's position turns.
    Rotary {
        /// C × dim.
        centers: &'a [f32],
        /// The rotary embedding.
        tables: &'a Tables,
    },
}

impl<'a> Offset<'a> {
    pub(super) fn centers(&self) -> &'a [f32] {
        match *self {
            Self::None => &[],
            Self::Static { centers } | Self::Rotary { centers, .. } => centers,
        }
    }
}

/// Queries of one head, or of some heads that share their keys and values.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    /// m × dim, finite.
    pub q: &'a [f32],
    /// How many tokens, from the first on, each query sees.
    pub visible: &'a [usize],
    /// Added to the logits: m × tokens, below +∞; −∞ hides a token.
    pub mask: Option<&'a [f32]>,
    /// The factor of the products, usually 1/√dim.
    pub scale: f32,
}

impl<'a> Block<'a> {
    /// The number of rows.
    pub(super) fn len(&self, dim: usize) -> usize {
        match self {
            Self::Exact { keys, .. } => keys.len() / dim,
            Self::Coded { keys, .. } => keys.len(),
        }
    }

    /// Checks the lengths and returns the number of rows.
    pub(super) fn check(&self, keys: &Coder, values: &Coder) -> usize {
        let length = self.len(keys.dim());
        match *self {
            Self::Exact { keys: k, values: v } => {
                assert_eq!(k.len(), length * keys.dim(), "exact keys");
                assert_eq!(v.len(), length * values.dim(), "exact values");
            }
            Self::Coded {
                keys: k,
                values: v,
                centroid,
                ..
            } => {
                assert_eq!(v.len(), length, "coded values");
                for (coder, part) in [(keys, k), (values, v)] {
                    let checked = coder.check(part);
                    assert!(checked.is_ok(), "{checked:?}");
                }
                assert!(centroid.is_none_or(|c| c.len() == length), "centroids");
            }
        }
        length
    }

    /// Some of the rows.
    pub(super) fn rows(&self, from: usize, to: usize, keys: &Coder, values: &Coder) -> Self {
        let (key_coder, value_coder) = (keys, values);
        match *self {
            Self::Exact { keys, values } => {
                let (dim, value_dim) = (key_coder.dim(), value_coder.dim());
                Self::Exact {
                    keys: &keys[from * dim..to * dim],
                    values: &values[from * value_dim..to * value_dim],
                }
            }
            Self::Coded {
                keys,
                values,
                position,
                centroid,
            } => Self::Coded {
                keys: keys.rows(from, to, key_coder.row_bytes()),
                values: values.rows(from, to, value_coder.row_bytes()),
                position: position + from,
                centroid: centroid.map(|centroid| &centroid[from..to]),
            },
        }
    }
}
