//! The k best rows of each query: prune and rerank.
//!
//! A cascade (`cascade.rs`) of upper bounds leaves few rows, which are estimated exactly. Rows
//! are chosen by m, the merit at the least of the exact product and its two upper bounds
//! ([`bounds`](super::bounds)), and the rows found are then sorted by their exact scores.
//!
//! **The same result everywhere.** m depends on the code of the row, on the query and on the
//! quantizer alone, and a row is left out only if its m cannot be among the k best. So the result
//! depends neither on threads and instruction sets, nor on how queries are divided into calls, nor
//! on which levels were used. The best rows of parts of the codes, merged by m and position
//! ([`merge`]), are the best rows of all.

use super::bounds::Tables;
use super::cascade::Cascade;
pub use super::cascade::MIN_QUERIES_TO_DERIVE;
use super::corpus::SearchQuery;
pub use super::corpus::{Center, Corpus, Hit, Metric};
use super::levels::Levels;
use super::signs::Signs;
use super::top::{Bar, Bars, Top};
use super::{Expand, Query};
use crate::isa::Isa;
use crate::kernels::sign_scan::ROWS_PER_GROUP;
use crate::threads;

/// Queries that go through the tiles together, whose tables stay in the second-level cache.
const QUERIES_PER_PASS: usize = 128;
/// Parts of the rows for each thread, so that no thread waits long for the last one.
const PARTS_PER_THREAD: usize = 4;
/// The fewest chunks of a part: each part finds its own first bar.
const MIN_CHUNKS_PER_PART: usize = 8;

impl<E: Expand> Corpus<'_, E> {
    /// The `count` best rows of each query, or all allowed rows if they are fewer, in no order.
    /// `norms` has the norm of each query. Without tables every allowed row is estimated, and
    /// ranks are exact merits.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn search(
        &self,
        isa: Isa,
        tables: Option<&Tables>,
        signs: Option<&Signs>,
        queries: &[Query],
        norms: &[f64],
        allowed: Option<&[bool]>,
        count: usize,
    ) -> Vec<Vec<Hit>> {
        let rows = self.codes.len();
        let allowed = allowed.map(bits);
        let most = (allowed.as_ref()).map_or(rows, |bits| {
            bits.iter().map(|word| word.count_ones() as usize).sum()
        });
        let count = count.min(most);
        if count == 0 {
            return vec![Vec::new(); queries.len()];
        }
        let searched: Vec<SearchQuery<'_>> = (queries.iter().zip(norms))
            .map(|(query, &norm)| SearchQuery { scan: query, norm })
            .collect();
        let levels = threads::map(searched.clone(), |_, query| {
            // Keys are divided by the factor, which must leave them within float32.
            let usable = (1e-30..1e30).contains(&query.scan.factor);
            let tables = tables.filter(|_| usable && query.norm.is_finite())?;
            Levels::new(isa, tables, &query.scan.vector)
        });
        let mut found = Vec::with_capacity(queries.len());
        for (queries, levels) in searched
            .chunks(QUERIES_PER_PASS)
            .zip(levels.chunks(QUERIES_PER_PASS))
        {
            let bars = Bars::new(queries.len());
            let cascade = Cascade {
                isa,
                corpus: self,
                tables,
                signs,
                levels,
                queries,
                allowed: allowed.as_deref(),
                count,
            };
            let chunks = cascade.chunks();
            let length = chunks_per_part(chunks);
            let parts = (0..chunks).step_by(length);
            let parts = parts.map(|from| from..chunks.min(from + length)).collect();
            let tops = threads::map(parts, |_, chunks| cascade.run(chunks, &bars));
            let mut each: Vec<Vec<Hit>> = vec![Vec::new(); queries.len()];
            for tops in tops {
                for (hits, top) in each.iter_mut().zip(tops) {
                    hits.extend(Top::into_hits(top));
                }
            }
            for hits in &mut each {
                keep_best(hits, count);
            }
            found.extend(each);
        }
        found
    }
}

/// One thread takes all rows in order, so that the bar rises once; several share them.
fn chunks_per_part(chunks: usize) -> usize {
    match threads::num_threads() {
        1 => chunks.max(1),
        threads => chunks
            .div_ceil(PARTS_PER_THREAD * threads)
            .max(MIN_CHUNKS_PER_PART),
    }
}

/// One bit per row.
fn bits(allowed: &[bool]) -> Vec<u64> {
    let word = |rows: &[bool]| {
        rows.iter()
            .rev()
            .fold(0, |word, &allowed| word << 1 | u64::from(allowed))
    };
    allowed.chunks(ROWS_PER_GROUP).map(word).collect()
}

/// Keeps the `count` hits of the best ranks, in no order.
fn keep_best(hits: &mut Vec<Hit>, count: usize) {
    if hits.len() > count {
        hits.select_nth_unstable_by_key(count, |hit| std::cmp::Reverse(Bar::of(hit)));
        hits.truncate(count);
    }
}

/// Merges the best rows of parts of the codes to the `count` best of all, best score first. Each
/// part comes with the position of its first row.
pub fn merge(parts: impl IntoIterator<Item = (u32, Vec<Hit>)>, count: usize) -> Vec<Hit> {
    let shifted = |(first, hits): (u32, Vec<Hit>)| {
        hits.into_iter().map(move |hit| Hit {
            row: first + hit.row,
            ..hit
        })
    };
    let mut hits: Vec<Hit> = parts.into_iter().flat_map(shifted).collect();
    keep_best(&mut hits, count);
    hits.sort_unstable_by(Hit::order);
    hits
}
