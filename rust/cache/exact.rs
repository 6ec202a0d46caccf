//! Exact pages: tokens as they came in, all heads of up to 64 tokens together.

use half::{bf16, f16};

use super::PAGE_TOKENS;
use super::tensor::{Dtype, Values};
use crate::file::container::float32;

/// Numbers of one of the types.
#[derive(Debug, Clone)]
enum Numbers {
    Float32(Vec<f32>),
    Float16(Vec<f16>),
    Bfloat16(Vec<bf16>),
}

impl Numbers {
    fn zeros(dtype: Dtype, count: usize) -> Self {
        match dtype {
            Dtype::Float32 => Self::Float32(vec![0.0; count]),
            Dtype::Float16 => Self::Float16(vec![f16::ZERO; count]),
            Dtype::Bfloat16 => Self::Bfloat16(vec![bf16::ZERO; count]),
        }
    }

    /// Numbers in the byte order of a file. None if one is not finite.
    fn read(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
        let half = || bytes.as_chunks::<2>().0.iter();
        let numbers = match dtype {
            Dtype::Float32 => Self::Float32(float32(bytes).collect()),
            Dtype::Float16 => Self::Float16(half().map(|&word| f16::from_le_bytes(word)).collect()),
            Dtype::Bfloat16 => {
                Self::Bfloat16(half().map(|&word| bf16::from_le_bytes(word)).collect())
            }
        };
        let is_finite = match &numbers {
            Self::Float32(values) => values.iter().all(|x| x.is_finite()),
            Self::Float16(values) => values.iter().all(|x| x.is_finite()),
            Self::Bfloat16(values) => values.iter().all(|x| x.is_finite()),
        };
        is_finite.then_some(numbers)
    }

    fn part(&self, from: usize, len: usize) -> Values<'_> {
        let all = match self {
            Self::Float32(values) => Values::Float32(values),
            Self::Float16(values) => Values::Float16(values),
            Self::Bfloat16(values) => Values::Bfloat16(values),
        };
        all.part(from, len)
    }

    /// Writes numbers of the same type; the cache has checked it.
    fn put(&mut self, from: usize, values: Values<'_>) {
        match (self, values) {
            (Self::Float32(own), Values::Float32(values)) => {
                own[from..][..values.len()].copy_from_slice(values);
            }
            (Self::Float16(own), Values::Float16(values)) => {
                own[from..][..values.len()].copy_from_slice(values);
            }
            (Self::Bfloat16(own), Values::Bfloat16(values)) => {
                own[from..][..values.len()].copy_from_slice(values);
            }
            _ => unreachable!("a cache has one type of numbers"),
        }
    }
}

/// Up to [`PAGE_TOKENS`] exact tokens.
#[derive(Debug, Clone)]
pub(super) struct Exact {
    len: usize,
    dim: usize,
    value_dim: usize,
    /// Head by head, with room for [`PAGE_TOKENS`] tokens each.
    keys: Numbers,
    values: Numbers,
}

impl Exact {
    pub(super) fn new(dtype: Dtype, heads: usize, dim: usize, value_dim: usize) -> Self {
        Self {
            len: 0,
            dim,
            value_dim,
            keys: Numbers::zeros(dtype, heads * PAGE_TOKENS * dim),
            values: Numbers::zeros(dtype, heads * PAGE_TOKENS * value_dim),
        }
    }

    /// The page of some tokens as a file has them: keys and values, head by head. None if a number
    /// is not finite.
    pub(super) fn from_bytes(
        dtype: Dtype,
        heads: usize,
        [dim, value_dim]: [usize; 2],
        len: usize,
        [keys, values]: [&[u8]; 2],
    ) -> Option<Self> {
        let (keys, values) = (Numbers::read(dtype, keys)?, Numbers::read(dtype, values)?);
        let mut page = Self::new(dtype, heads, dim, value_dim);
        page.extend(heads, len, |i, head| {
            let row = head * len + i;
            let key = keys.part(row * dim, dim);
            (key, values.part(row * value_dim, value_dim))
        });
        Some(page)
    }

    /// The number of tokens.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds `count` tokens; `row(i, head)` has the key and the value of the i-th.
    pub(super) fn extend<'a>(
        &mut self,
        heads: usize,
        count: usize,
        row: impl Fn(usize, usize) -> (Values<'a>, Values<'a>),
    ) {
        for i in 0..count {
            for head in 0..heads {
                let place = head * PAGE_TOKENS + self.len + i;
                let (key, value) = row(i, head);
                self.keys.put(place * self.dim, key);
                self.values.put(place * self.value_dim, value);
            }
        }
        self.len += count;
    }

    /// Keeps the first `len` tokens.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The keys of a head, len × dim.
    pub(super) fn keys(&self, head: usize) -> Values<'_> {
        let dim = self.dim;
        self.keys.part(head * PAGE_TOKENS * dim, self.len * dim)
    }

    /// The values of a head, len × value_dim.
    pub(super) fn values(&self, head: usize) -> Values<'_> {
        let dim = self.value_dim;
        self.values.part(head * PAGE_TOKENS * dim, self.len * dim)
    }

    /// The key of a token.
    pub(super) fn key(&self, head: usize, token: usize) -> Values<'_> {
        self.keys(head).part(token * self.dim, self.dim)
    }

    /// The value of a token.
    pub(super) fn value(&self, head: usize, token: usize) -> Values<'_> {
        self.values(head)
            .part(token * self.value_dim, self.value_dim)
    }

    /// The bytes of the rows that are here; room for tokens to come is not counted.
    pub(super) fn bytes(&self, dtype: Dtype, heads: usize) -> usize {
        heads * self.len * (self.dim + self.value_dim) * dtype.bytes()
    }
}
