//! Appending tokens: everything that can fail is computed first, and then the cache changes.

use std::sync::Arc;

use super::coded::{Coded, Entry, Place};
use super::exact::Exact;
use super::spec::CacheSpec;
use super::tensor::{Dtype, Tensor, Values};
use super::{Built, KeyValueCache, PAGE_TOKENS, Sequence, center};
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::threads;

/// So many numbers are checked sooner than other threads begin.
const VALUES_OF_ONE_THREAD: usize = 1 << 14;

/// The largest magnitude of a key's or value's coordinate: with it, no sum of weighted rows is
/// beyond float32.
const MAX_NUMBER: f32 = 1e33;

/// Whether a coordinate is a number that the cache takes.
fn is_allowed(x: f32) -> bool {
    x.abs() <= MAX_NUMBER
}

/// The tokens of a call that belong to one sequence, beside those that are here.
struct Added<'a> {
    sequence: usize,
    here: &'a Sequence,
    keys: &'a dyn Tensor,
    values: &'a dyn Tensor,
    /// Leading pads of the call.
    pads: usize,
}

/// What a sequence gets besides exact rows.
#[derive(Default)]
struct Plan {
    center: Option<Arc<Vec<f32>>>,
    pages: Vec<Arc<Coded>>,
}

impl<'a> Added<'a> {
    /// The number of the sequence's own tokens after the call.
    fn end(&self) -> usize {
        self.here.tokens() + self.keys.shape()[2] - self.pads
    }

    /// The key and the value of one of the sequence's own tokens, which is new or exact.
    fn row(&self, token: usize, head: usize) -> (Values<'a>, Values<'a>) {
        let here = self.here;
        let old = here.tokens();
        if token >= old {
            let place = self.pads + token - old;
            let (keys, values) = (self.keys, self.values);
            let row = |tensor: &'a dyn Tensor| tensor.row(self.sequence, head, place);
            return (row(keys), row(values));
        }
        let sinks = here.sink_tokens();
        let (pages, token) = if token < sinks {
            (&here.sinks, token)
        } else {
            (&here.recent, token - sinks - here.coded_tokens)
        };
        let page = &pages[token / PAGE_TOKENS];
        let token = token % PAGE_TOKENS;
        (page.key(head, token), page.value(head, token))
    }

    /// The first tokens of the pages that are to be coded.
    fn starts(&self, spec: &CacheSpec) -> impl Iterator<Item = usize> + use<> {
        let (end, window) = (self.end(), spec.window);
        let first = spec.sinks + self.here.coded_tokens;
        let starts = (first..end).step_by(PAGE_TOKENS);
        starts.take_while(move |start| start + PAGE_TOKENS + window <= end)
    }

    /// The estimated vectors of all heads.
    fn estimate(&self, built: &Built, spec: &CacheSpec) -> Vec<f32> {
        let heads = 0..spec.heads;
        let estimate = |head| {
            threads::check();
            let key = |i| self.row(spec.sinks + i, head).0;
            center::estimate(spec, built.rotary.as_ref(), key)
        };
        heads.flat_map(estimate).collect()
    }
}

impl KeyValueCache {
    /// Adds tokens at the end of every sequence: keys (batch, heads, tokens, dim) and values
    /// (batch, heads, tokens, value_dim) of one type. The first `pads[b]` tokens of sequence b are
    /// pads: they count as tokens and are never attended, and nothing else is kept of them.
    ///
    /// The state after the call depends on the tokens alone, not on how calls divide them.
    ///
    /// # Errors
    /// If a shape or the type is wrong, a number is not finite or above 10³³ in magnitude, or pads
    /// follow tokens. The cache is then as before.
    pub fn append(
        &mut self,
        keys: &dyn Tensor,
        values: &dyn Tensor,
        pads: Option<&[usize]>,
    ) -> Result<()> {
        self.append_on(Isa::current()?, keys, values, pads)
    }

    /// [`KeyValueCache::append`] with this instruction set.
    pub fn append_on(
        &mut self,
        isa: Isa,
        keys: &dyn Tensor,
        values: &dyn Tensor,
        pads: Option<&[usize]>,
    ) -> Result<()> {
        let dtype = self.check_shapes(keys, values)?;
        let tokens = keys.shape()[2];
        let none = vec![0; self.sequences.len()];
        let pads = pads.unwrap_or(&none);
        self.check_pads(pads, tokens)?;
        self.check_finite("keys", keys, pads)?;
        self.check_finite("values", values, pads)?;
        if tokens == 0 {
            return Ok(());
        }
        let plans = self.plan(isa, keys, values, pads)?;
        let is_coding = plans.iter().any(|plan| !plan.pages.is_empty());
        // Nothing below can fail or be interrupted.
        let spec = &self.spec;
        let parts = self.sequences.iter_mut().zip(plans).zip(pads);
        for (b, ((sequence, plan), &pads)) in parts.enumerate() {
            let row = |token, head| (keys.row(b, head, token), values.row(b, head, token));
            sequence.take(spec, dtype, plan, pads, tokens, row);
        }
        self.dtype = Some(dtype);
        self.length += tokens;
        if is_coding {
            self.extend_tables();
        }
        Ok(())
    }

    fn check_shapes(&self, keys: &dyn Tensor, values: &dyn Tensor) -> Result<Dtype> {
        let prefix = self.spec.prefix();
        let CacheSpec {
            heads,
            dim,
            value_dim,
            ..
        } = self.spec;
        let batch = self.sequences.len();
        let tokens = keys.shape()[2];
        for (what, tensor, dim) in [("keys", keys, dim), ("values", values, value_dim)] {
            let expected = [batch, heads, tokens, dim];
            if tensor.shape() != expected {
                return Err(Error::invalid(format!(
                    "{prefix}{what} have shape {:?}, expected {expected:?}: (batch, heads, \
                     tokens, coordinates)",
                    tensor.shape()
                )));
            }
        }
        let dtype = keys.dtype();
        if values.dtype() != dtype {
            return Err(Error::invalid(format!(
                "{prefix}values are {}, expected {} as the keys",
                values.dtype().name(),
                dtype.name()
            )));
        }
        match self.dtype {
            Some(own) if own != dtype => Err(Error::invalid(format!(
                "{prefix}keys are {}, expected {}, the type of this cache",
                dtype.name(),
                own.name()
            ))),
            _ => Ok(dtype),
        }
    }

    fn check_pads(&self, pads: &[usize], tokens: usize) -> Result<()> {
        let prefix = self.spec.prefix();
        if pads.len() != self.sequences.len() {
            return Err(Error::invalid(format!(
                "{prefix}pads has {}, expected {}, one per sequence",
                counted(pads.len(), "number"),
                self.sequences.len()
            )));
        }
        for (b, (sequence, &pads)) in self.sequences.iter().zip(pads).enumerate() {
            if pads > tokens {
                return Err(Error::invalid(format!(
                    "{prefix}sequence {b} has {} in a call of {}",
                    counted(pads, "pad"),
                    counted(tokens, "token")
                )));
            }
            if pads > 0 && sequence.tokens() > 0 {
                return Err(Error::invalid(format!(
                    "{prefix}sequence {b} has {} after {} of its own, expected pads before all \
                     tokens",
                    counted(pads, "pad"),
                    counted(sequence.tokens(), "token")
                )));
            }
        }
        Ok(())
    }

    fn check_finite(&self, what: &str, tensor: &dyn Tensor, pads: &[usize]) -> Result<()> {
        let [batch, heads, tokens, dim] = tensor.shape();
        let mut items = (0..batch).flat_map(|b| (0..heads).map(move |head| (b, head)));
        let buffer = || vec![0f32; dim];
        let check = |buffer: &mut Vec<f32>, _, (b, head): (usize, usize)| {
            for token in pads[b]..tokens {
                let row = tensor.row(b, head, token).read(buffer);
                // `fold` takes all of the row, so the compiler can vectorize it.
                if row.iter().fold(true, |fits, &x| fits & is_allowed(x)) {
                    continue;
                }
                let place = row.iter().position(|&x| !is_allowed(x)).unwrap_or(0);
                return Err(Error::invalid(format!(
                    "{}{what}: sequence {b}, head {head}, token {}, coordinate {place} is {}, \
                     expected a finite number of at most {MAX_NUMBER:e} in magnitude",
                    self.spec.prefix(),
                    self.length + token,
                    row[place],
                )));
            }
            Ok(())
        };
        if batch * heads * tokens * dim <= VALUES_OF_ONE_THREAD {
            let mut buffer = buffer();
            return items.try_for_each(|item| check(&mut buffer, 0, item));
        }
        threads::try_for_each(items, buffer, check)
    }

    /// Computes the centers and the coded pages that the call adds.
    fn plan(
        &self,
        isa: Isa,
        keys: &dyn Tensor,
        values: &dyn Tensor,
        pads: &[usize],
    ) -> Result<Vec<Plan>> {
        let (spec, built) = (&self.spec, &*self.built);
        let sequences = self.sequences.iter().zip(pads).enumerate();
        let added: Vec<Added<'_>> = sequences
            .map(|(sequence, (here, &pads))| Added {
                sequence,
                here,
                keys,
                values,
                pads,
            })
            .collect();
        let center = |_, added: &Added<'_>| {
            let is_wanted = spec.vectors() > 0
                && added.here.center.is_none()
                && added.starts(spec).next().is_some();
            is_wanted.then(|| Arc::new(added.estimate(built, spec)))
        };
        let centers = threads::map(added.iter().collect(), center);
        let pages = added.iter().zip(&centers).flat_map(|(added, center)| {
            let center = center.as_ref().or(added.here.center.as_ref());
            added.starts(spec).map(move |start| (added, center, start))
        });
        let encode = |_, (added, center, first): (&Added<'_>, Option<&Arc<Vec<f32>>>, usize)| {
            let place = Place {
                sequence: added.sequence,
                first,
                pads: added.here.pads + added.pads,
            };
            let vectors: &[f32] = center.map_or(&[], |center| center);
            let row = |head, i| added.row(first + i, head);
            Coded::encode(isa, built, spec, vectors, place, row).map(Arc::new)
        };
        let coded = threads::map(pages.collect(), encode);
        let mut coded = coded.into_iter();
        let plan = |(added, center): (&Added<'_>, Option<Arc<Vec<f32>>>)| {
            let pages = coded.by_ref().take(added.starts(spec).count());
            let pages = pages.collect::<Result<_>>()?;
            Ok(Plan { center, pages })
        };
        added.iter().zip(centers).map(plan).collect()
    }
}

impl Sequence {
    /// Takes the tokens of a call, whose rows are `row(token of the call, head)`.
    fn take<'a>(
        &mut self,
        spec: &CacheSpec,
        dtype: Dtype,
        plan: Plan,
        pads: usize,
        tokens: usize,
        row: impl Fn(usize, usize) -> (Values<'a>, Values<'a>),
    ) {
        self.pads += pads;
        let old = self.tokens();
        let end = old + tokens - pads;
        let row = |token: usize, head| row(pads + token - old, head);
        let fill = |page: &mut Arc<Exact>, first: usize, last: usize| {
            let from = first + page.len();
            let page = Arc::make_mut(page);
            page.extend(spec.heads, last.saturating_sub(from), |i, head| {
                row(from + i, head)
            });
        };
        let new = || Arc::new(Exact::new(dtype, spec.heads, spec.dim, spec.value_dim));
        for first in (0..end.min(spec.sinks)).step_by(PAGE_TOKENS) {
            let place = first / PAGE_TOKENS;
            if place == self.sinks.len() {
                self.sinks.push(new());
            }
            let last = end.min(spec.sinks).min(first + PAGE_TOKENS);
            fill(&mut self.sinks[place], first, last);
        }
        if plan.center.is_some() {
            self.center = plan.center;
        }
        let first = spec.sinks + self.coded_tokens;
        let mut before = std::mem::take(&mut self.recent).into_iter();
        let mut pages = plan.pages.into_iter();
        for first in (first..end.max(first)).step_by(PAGE_TOKENS) {
            let (page, exact) = (pages.next(), before.next());
            let is_kept = page.is_none() || end < spec.coded_at(first) + spec.rollback;
            let exact = is_kept.then(|| {
                let mut exact = exact.unwrap_or_else(new);
                fill(&mut exact, first, end.min(first + PAGE_TOKENS));
                exact
            });
            match (page, exact) {
                (Some(page), exact) => {
                    self.coded_tokens += page.len;
                    self.coded.push(Entry { page, exact });
                }
                (None, Some(exact)) => self.recent.push(exact),
                (None, None) => unreachable!("a page that is not coded is kept"),
            }
        }
        let mut last = spec.sinks + self.coded_tokens;
        for entry in self.coded.iter_mut().rev() {
            if entry.exact.is_none() {
                break;
            }
            let first = last - entry.page.len;
            if end >= spec.coded_at(first) + spec.rollback {
                entry.exact = None;
            }
            last = first;
        }
    }
}

impl CacheSpec {
    /// The number of tokens with which the page of these first tokens is coded.
    pub(super) fn coded_at(&self, first: usize) -> usize {
        first + PAGE_TOKENS + self.window
    }

    /// The beginning of error messages.
    pub(super) fn prefix(&self) -> String {
        self.layer
            .map_or(String::new(), |layer| format!("layer {layer}: "))
    }
}
