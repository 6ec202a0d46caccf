//! The memory of a cache: every stored byte, shared pages once.

use std::collections::HashMap;
use std::sync::Arc;

use super::coded::Coded;
use super::exact::Exact;
use super::{Center, KeyValueCache};

/// The distinct parts of a cache, in the order in which the sequences name them first.
pub(super) struct Parts<'a> {
    pub exact: Numbered<'a, Exact>,
    pub coded: Numbered<'a, Coded>,
    pub centers: Numbered<'a, Vec<f32>>,
}

/// Distinct shared values with their numbers.
pub(super) struct Numbered<'a, T> {
    numbers: HashMap<*const T, usize>,
    pub all: Vec<&'a T>,
}

impl<'a, T> Numbered<'a, T> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            all: Vec::new(),
        }
    }

    /// The number of a value, which is counted if it is new.
    pub(super) fn number(&mut self, value: &'a Arc<T>) -> usize {
        let next = self.all.len();
        let number = *self.numbers.entry(Arc::as_ptr(value)).or_insert(next);
        if number == next {
            self.all.push(value);
        }
        number
    }
}

impl<'a> Parts<'a> {
    pub(super) fn new() -> Self {
        Self {
            exact: Numbered::new(),
            coded: Numbered::new(),
            centers: Numbered::new(),
        }
    }
}

impl KeyValueCache {
    fn parts(&self) -> Parts<'_> {
        let mut parts = Parts::new();
        for sequence in &self.sequences {
            for page in sequence.sinks.iter().chain(&sequence.recent) {
                parts.exact.number(page);
            }
            for entry in &sequence.coded {
                parts.coded.number(&entry.page);
                if let Some(exact) = &entry.exact {
                    parts.exact.number(exact);
                }
            }
            if let Some(center) = &sequence.center {
                parts.centers.number(center);
            }
        }
        parts
    }

    /// Every stored byte: codes, scales, centers and centroid indexes, exact tokens and the numbers
    /// of pads. Shared pages count once. Room for tokens to come, tables of pages and what follows
    /// from the parameters do not count.
    pub fn bytes(&self) -> usize {
        let parts = self.parts();
        let exact = (parts.exact.all.iter().zip(self.dtype.iter().cycle()))
            .map(|(page, &dtype)| page.bytes(dtype, self.spec.heads))
            .sum::<usize>();
        let coded = parts
            .coded
            .all
            .iter()
            .map(|page| page.bytes())
            .sum::<usize>();
        let centers = parts
            .centers
            .all
            .iter()
            .map(|center| size_of_val(&center[..]));
        let given = match &self.spec.center {
            Center::Given(center) => size_of_val(&center[..]),
            _ => 0,
        };
        let pads = self.sequences.len() * size_of::<usize>();
        exact + coded + centers.sum::<usize>() + given + pads
    }

    /// Bits per coordinate of the keys and values of so many tokens.
    fn bits(&self, bytes: usize, tokens: usize) -> f64 {
        let values = tokens * self.spec.heads * (self.spec.dim + self.spec.value_dim);
        if values == 0 {
            return f64::NAN;
        }
        8.0 * bytes as f64 / values as f64
    }

    /// The stored bits per coordinate of the keys and values that the sequences have; NaN for none.
    pub fn bits_per_value(&self) -> f64 {
        let tokens: usize = self.sequences.iter().map(|one| one.tokens()).sum();
        self.bits(self.bytes(), tokens)
    }

    /// The bits of the codes, their scales and centroid indexes per coordinate of the coded tokens;
    /// NaN for none.
    pub fn bits_per_coded_value(&self) -> f64 {
        let coded = self.parts().coded.all;
        let bytes: usize = coded.iter().map(|page| page.bytes()).sum();
        let tokens: usize = coded.iter().map(|page| page.len).sum();
        self.bits(bytes, tokens)
    }
}
