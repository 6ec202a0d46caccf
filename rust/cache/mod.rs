//! The key-value cache of one attention layer, which stays in codes.
//!
//! Attention reads the keys and values of all tokens for each new one, so their memory and its
//! traffic bound long contexts. A [`KeyValueCache`] keeps a few bits per coordinate, and attends
//! from the codes.
//!
//! ```text
//! tokens of a sequence   | sinks | page 0 | page 1 | … | page | page, not full |
//!                        | exact |  coded, 64 tokens   |        exact          |
//!                                                      |<- window + 0 to 63 -->|
//! key of token j         r_j = k_j − R_j μ   logit = scale·(⟨q, r̂_j⟩ + ⟨q, R_j μ⟩)
//! ```
//!
//! **Contract.**
//! - Everything counts the sequence's own tokens, t of them. Leading pads do not belong
//!   to them: they count in the length and enter nothing.
//! - Tokens [0, sinks) always stay exact. After them come pages of [`PAGE_TOKENS`] tokens. A page
//!   is coded as soon as `window` tokens follow it, so ⌊(t − sinks − window)/64⌋ pages are coded. All
//!   other tokens are exact, in the type in which they came.
//! - The state is a function of the tokens: the number of threads, the instruction set, other
//!   sequences and the division of tokens into calls change no bit of it, nor of a result.
//! - The exact tokens of a coded page are kept until `rollback` further tokens have come, so that
//!   [`crop`](KeyValueCache::crop) can uncode it.
//! - An error leaves the cache as it was.
//!
//! **Sharing.** A page holds all heads and is shared by the sequences and the copies of a cache
//! that have it in their tables. A page that is written to is copied first if others share it. So
//! copies, beams and repeated prompts cost a table each.
//!
//! **Cost.** Appending costs the coding of each token once, in pages. Attention reads every code
//! once for up to [`QUERIES_PER_CALL`] queries of the heads that share keys.
//!
//! FROZEN: the size of a page and the rule by which pages are coded.

use std::sync::Arc;

use crate::error::Result;
use crate::isa::Isa;
use crate::quantizer::Quantizer;

mod angles;
mod append;
pub mod attend;
mod blocks;
mod center;
mod coded;
pub mod coder;
mod edit;
mod exact;
mod loaded;
mod prepared;
mod read;
mod scales;
mod size;
mod spec;
mod stored;
pub mod tables;
mod tensor;
mod tensors;

pub use read::{Mask, QUERIES_PER_CALL};
pub use spec::{CacheSpec, Center, Coding, MAX_HEAD_DIM};
pub use tensor::{Contiguous, Dtype, Tensor, Values};

use angles::Rotary;
use coded::Entry;
use coder::Coder;
use exact::Exact;
use tables::Tables;

/// The tokens of a page.
pub const PAGE_TOKENS: usize = 64;

/// What the parameters stand for. It never changes, and copies share it.
#[derive(Debug)]
struct Built {
    keys: Coder,
    values: Coder,
    rotary: Option<Rotary>,
    /// The factor of half the variance of a logit, or 0.
    debias: f32,
}

/// The tokens of one sequence.
#[derive(Debug, Clone, Default)]
struct Sequence {
    /// Leading pads.
    pads: usize,
    /// The first tokens, in pages that all are full except the last.
    sinks: Vec<Arc<Exact>>,
    coded: Vec<Entry>,
    /// The number of coded tokens; a page may have lost some by a crop.
    coded_tokens: usize,
    /// The newest tokens, in pages that all are full except the last.
    recent: Vec<Arc<Exact>>,
    /// The estimated vectors of all heads, heads × [`CacheSpec::vectors`] × dim.
    center: Option<Arc<Vec<f32>>>,
}

/// The number of tokens of exact pages, which all are full except the last.
fn exact_tokens(pages: &[Arc<Exact>]) -> usize {
    let last = pages.last().map_or(0, |page| page.len());
    pages.len().saturating_sub(1) * PAGE_TOKENS + last
}

impl Sequence {
    fn sink_tokens(&self) -> usize {
        exact_tokens(&self.sinks)
    }

    /// The number of the sequence's own tokens.
    fn tokens(&self) -> usize {
        self.sink_tokens() + self.coded_tokens + exact_tokens(&self.recent)
    }
}

/// The keys and values of one layer, for some sequences of equal length.
///
/// ```
/// use blockquant::cache::{CacheSpec, Contiguous, KeyValueCache, Values};
///
/// let mut cache = KeyValueCache::new(CacheSpec::new(1, 16))?;
/// let x: Vec<f32> = (0..300 * 16).map(|i| (i as f32).sin()).collect();
/// let tokens = Contiguous::new(Values::Float32(&x), [1, 1, 300, 16])?;
/// cache.append(&tokens, &tokens, None)?;
/// assert_eq!((cache.len(), cache.coded_tokens(0)), (300, 192));
/// let mut out = vec![0.0; 2 * 16];
/// cache.attend(&x[..2 * 16], 2, 1, None, None, &mut out)?; // two heads of queries share the keys
/// assert!(out.iter().all(|x| x.is_finite()));
/// # Ok::<(), blockquant::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyValueCache {
    spec: CacheSpec,
    built: Arc<Built>,
    /// The rotary embedding for attention, with the phases of all pages.
    tables: Option<Arc<Tables>>,
    /// The type of the numbers, as soon as it is known.
    dtype: Option<Dtype>,
    /// The number of tokens, pads included.
    length: usize,
    sequences: Vec<Sequence>,
}

impl KeyValueCache {
    /// An empty cache.
    ///
    /// # Errors
    /// The errors of [`CacheSpec::fill`].
    pub fn new(mut spec: CacheSpec) -> Result<Self> {
        spec.fill()?;
        let mut cache = Self::build(spec)?;
        cache.sequences = vec![Sequence::default(); cache.spec.batch];
        Ok(cache)
    }

    /// A cache without sequences. The parameters are checked and filled in.
    fn build(spec: CacheSpec) -> Result<Self> {
        let keys = Coder::new(Quantizer::new(spec.key_spec())?)?;
        let values = Coder::new(Quantizer::new(spec.value_spec())?)?;
        let debias = if spec.debias {
            keys.debias(Isa::current()?)?
        } else {
            0.0
        };
        let frequencies = match &spec.center {
            Center::Rotary(frequencies) => Some(frequencies),
            _ => None,
        };
        let built = Built {
            keys,
            values,
            rotary: frequencies.map(|frequencies| Rotary::new(frequencies)),
            debias,
        };
        let tables = |frequencies: &Vec<f64>| Tables::new(frequencies.clone(), spec.sinks);
        Ok(Self {
            built: Arc::new(built),
            tables: frequencies.map(|frequencies| Arc::new(tables(frequencies))),
            dtype: spec.dtype,
            length: 0,
            sequences: Vec::new(),
            spec,
        })
    }

    /// The parameters, with the scale rules filled in. `batch` is the number of sequences that the
    /// cache began with.
    pub fn spec(&self) -> &CacheSpec {
        &self.spec
    }

    /// The number of tokens of each sequence, pads included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the number of tokens is 0.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The number of sequences.
    pub fn batch(&self) -> usize {
        self.sequences.len()
    }

    /// The type of the numbers, once it is known.
    pub fn dtype(&self) -> Option<Dtype> {
        self.dtype
    }

    /// The number of leading pads of a sequence.
    pub fn pads(&self, sequence: usize) -> usize {
        self.sequences[sequence].pads
    }

    /// The number of coded tokens of a sequence.
    pub fn coded_tokens(&self, sequence: usize) -> usize {
        self.sequences[sequence].coded_tokens
    }

    /// Prepares the phases of all coded pages.
    fn extend_tables(&mut self) {
        let ends = self.sequences.iter();
        let ends = ends.map(|sequence| self.spec.sinks + sequence.coded_tokens);
        let end = ends.max().unwrap_or(0);
        if let Some(tables) = &mut self.tables
            && end > self.spec.sinks
        {
            Arc::make_mut(tables).extend(end);
        }
    }
}
