//! Taking tokens back, and choosing sequences. Pages are shared, so choosing moves no tokens.

use std::sync::Arc;

use super::exact::Exact;
use super::{KeyValueCache, PAGE_TOKENS, Sequence, exact_tokens};
use crate::error::{Error, Result, counted};
use crate::isa::Isa;

impl KeyValueCache {
    /// Keeps the first `tokens` tokens of every sequence, pads included.
    ///
    /// If at most `rollback` tokens are taken back, counted from the most that were here since,
    /// the cache attends and decodes as one that never had them, bit by bit. Otherwise coded tokens
    /// stay coded, and the next token begins a new page. A sequence whose last coded token is taken
    /// back forgets its center.
    ///
    /// # Errors
    /// If the cache has fewer tokens.
    pub fn crop(&mut self, tokens: usize) -> Result<()> {
        if tokens > self.length {
            return Err(Error::invalid(format!(
                "{}crop to {}, expected at most {}, the length of the cache",
                self.spec.prefix(),
                counted(tokens, "token"),
                self.length
            )));
        }
        let isa = Isa::current()?;
        for sequence in &mut self.sequences {
            let own = tokens.saturating_sub(sequence.pads);
            sequence.pads = sequence.pads.min(tokens);
            let mut last = self.spec.sinks + sequence.coded_tokens;
            while let Some(entry) = sequence.coded.last_mut() {
                let len = entry.page.len;
                let first = last - len;
                if let Some(exact) = entry.exact.take_if(|_| own < self.spec.coded_at(first)) {
                    sequence.recent.insert(0, exact);
                } else if own <= first {
                    // No token of the page is left.
                } else if own < last {
                    let page = entry
                        .page
                        .truncated(isa, &self.built, &self.spec, own - first);
                    entry.page = Arc::new(page);
                    sequence.coded_tokens -= last - own;
                    break;
                } else {
                    break;
                }
                sequence.coded.pop();
                sequence.coded_tokens -= len;
                last = first;
            }
            let sinks = sequence.sink_tokens();
            truncate(&mut sequence.sinks, own);
            truncate(
                &mut sequence.recent,
                own.saturating_sub(sinks + sequence.coded_tokens),
            );
            if sequence.coded.is_empty() {
                sequence.center = None;
            }
        }
        self.length = tokens;
        Ok(())
    }

    /// Replaces the sequences by those at these positions: `rows[b]` is the old position of
    /// sequence b. There are as many as before.
    ///
    /// # Errors
    /// If the number differs, or a position is out of range.
    pub fn reorder(&mut self, rows: &[usize]) -> Result<()> {
        if rows.len() != self.sequences.len() {
            return Err(Error::invalid(format!(
                "{}reorder has {}, expected {}, one per sequence; select takes any number",
                self.spec.prefix(),
                counted(rows.len(), "position"),
                self.sequences.len()
            )));
        }
        self.select(rows)
    }

    /// Replaces the sequences by those at these positions, any number of them, each as often as it
    /// is named.
    ///
    /// # Errors
    /// If there are none, or a position is out of range.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        let prefix = self.spec.prefix();
        if rows.is_empty() {
            return Err(Error::invalid(format!(
                "{prefix}0 positions of sequences, expected at least one"
            )));
        }
        let batch = self.sequences.len();
        if let Some((place, row)) = rows.iter().enumerate().find(|(_, row)| **row >= batch) {
            return Err(Error::invalid(format!(
                "{prefix}position {row} at {place}, expected less than {batch}, the number of \
                 sequences"
            )));
        }
        self.sequences = rows
            .iter()
            .map(|&row| self.sequences[row].clone())
            .collect();
        Ok(())
    }

    /// Repeats every sequence `times` times: 0, 0, 1, 1, … for 2.
    ///
    /// # Errors
    /// If it is 0.
    pub fn repeat(&mut self, times: usize) -> Result<()> {
        if times == 0 {
            return Err(Error::invalid(format!(
                "{}repeat 0 times, expected at least 1",
                self.spec.prefix()
            )));
        }
        let repeat = |row| std::iter::repeat_n(row, times);
        let rows: Vec<usize> = (0..self.sequences.len()).flat_map(repeat).collect();
        self.select(&rows)
    }

    /// Removes all tokens. The number of sequences stays.
    pub fn reset(&mut self) {
        self.sequences.fill(Sequence::default());
        self.length = 0;
        self.dtype = self.spec.dtype;
    }
}

/// Keeps the first `tokens` tokens of exact pages.
fn truncate(pages: &mut Vec<Arc<Exact>>, tokens: usize) {
    if tokens >= exact_tokens(pages) {
        return;
    }
    pages.truncate(tokens.div_ceil(PAGE_TOKENS));
    if let Some(last) = pages.last_mut() {
        Arc::make_mut(last).truncate((tokens - 1) % PAGE_TOKENS + 1);
    }
}
