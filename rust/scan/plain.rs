//! The merits of all rows: every row is estimated as by the inner products of all pairs.

use super::corpus::{Corpus, SearchQuery};
use super::{Expand, products};
use crate::isa::Isa;

/// All estimates of a corpus.
pub(super) struct Plain<'a, E> {
    pub isa: Isa,
    pub corpus: &'a Corpus<'a, E>,
}

impl<E: Expand> Plain<'_, E> {
    /// Writes the merit of each row with each query to merits\[q·rows + r\].
    pub fn merits(&self, queries: &[SearchQuery<'_>], rows: &[u32], merits: &mut Vec<f32>) {
        merits.resize(queries.len() * rows.len(), 0.0);
        let scans: Vec<_> = queries.iter().map(|query| query.scan).collect();
        let corpus = self.corpus;
        let expand = |first: usize, count: usize, out: &mut [f32]| {
            let mut index = Vec::new();
            let length = out.len() / count.max(1);
            for (&row, out) in rows[first..first + count]
                .iter()
                .zip(out.chunks_exact_mut(length))
            {
                corpus.expand.expand(row as usize, &mut index, out);
            }
        };
        // The numbers of the rows, one after the other.
        let take =
            |from: &[f32]| -> Vec<f32> { rows.iter().map(|&row| from[row as usize]).collect() };
        let scale = take(corpus.codes.scale);
        let center = corpus.center.map(|center| take(center.products));
        let own = if corpus.norm.is_empty() {
            Vec::new()
        } else {
            take(corpus.norm)
        };
        let finish = |q: usize, first: usize, dots: &[f32], out: &mut [f32]| {
            let here = first..first + dots.len();
            let center = center.as_ref().map(|center| &center[here.clone()]);
            let own = own.get(here.clone()).unwrap_or_default();
            let scale = &scale[here];
            corpus.signed_scores(self.isa, queries[q], dots, scale, center, own, out);
        };
        products::all_products(self.isa, &scans, rows.len(), merits, expand, finish);
    }
}
