//! Search on the codes (`scan/search.rs`) with what this quantizer expands rows to.

use std::borrow::Cow;

use super::Quantizer;
use super::query::Centering;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::rows::Rows;
use crate::scan::search::{self, Hit, Metric};
use crate::scan::sketch::Sketch;
use crate::threads;

impl Quantizer {
    /// The sketch that makes searches of these codes fast, derived from them alone. None where a row is not its codeword vector (TurboQuant
    /// `prod`), or has too many coordinates for 16-bit sums.
    pub fn sketch(&self, isa: Isa, codes: CodesRef<'_>) -> Result<Option<Sketch>> {
        self.check(codes)?;
        let dim = self.spec.dim;
        if self.method.expanded_len(dim) != dim || !Sketch::fits(dim) {
            return Ok(None);
        }
        let expander = self.expander(isa, codes);
        Ok(Some(Sketch::new(isa, dim, codes.scale, &expander)))
    }

    /// The `count` best rows of each query by their estimates, best first, ties to the lower index; fewer where fewer are `allowed`.
    ///
    /// With the codes' sketch a row is overlooked with a small probability over rotations, which says nothing about rows that are made from this
    /// quantizer's own rotation: see [`sketch`](crate::scan::sketch). Without it every allowed row is estimated, and none is overlooked.
    ///
    /// # Errors
    /// If the codes or the sketch are another quantizer's, a query is not finite, `allowed` has another length, or the metric needs norms that the codes
    /// do not have.
    #[allow(clippy::too_many_arguments)]
    pub fn search(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        sketch: Option<&Sketch>,
        y: &dyn Rows,
        count: usize,
        metric: Metric,
        allowed: Option<&[bool]>,
    ) -> Result<Vec<Vec<Hit>>> {
        self.check(codes)?;
        let rows = codes.len();
        if count == 0 {
            return Err(Error::invalid("k is 0, expected at least 1"));
        }
        if u32::try_from(rows).is_err() {
            return Err(Error::invalid(format!(
                "{rows} rows, expected at most 2^32 - 1 in a search"
            )));
        }
        if let Some(allowed) = allowed.filter(|allowed| allowed.len() != rows) {
            return Err(Error::invalid(format!(
                "the mask has {} entries, expected {rows}, one a row",
                allowed.len()
            )));
        }
        let fits = |sketch: &Sketch| (sketch.rows(), sketch.dim()) == (rows, self.spec.dim);
        if !sketch.is_none_or(fits) {
            return Err(Error::invalid("the sketch is of other codes"));
        }
        let centering = match metric {
            Metric::Euclidean => Centering::Difference,
            _ => self.product_centering(),
        };
        if self.spec.center.is_some() && centering == Centering::Rows {
            return Err(Error::invalid(format!(
                "metric {:?} with a center needs unbiased estimates, and the scale rule {} shrinks \
                 them: make the quantizer, and with it the codes, with the scale rule unbiased, or \
                 search by l2",
                metric.name(),
                self.scale.name()
            )));
        }
        let norm = match metric {
            Metric::InnerProduct => Some(Cow::default()),
            Metric::Euclidean => self.residual_norms(codes).map(Cow::Borrowed),
            Metric::Cosine => self.norms(codes)?,
        };
        let norm = norm.ok_or_else(|| Error::MissingNorms {
            what: format!("metric {:?} needs", metric.name()),
        })?;
        if metric != Metric::InnerProduct && norm.len() != rows {
            return Err(Error::invalid(format!(
                "{}, expected {rows}, one per row",
                counted(norm.len(), "norm")
            )));
        }
        let (queries, norms) = self.queries(isa, y, centering)?;
        let square = self.center_square();
        let center = self.center_products(codes, centering);
        let rows = search::Rows {
            codes,
            metric,
            norm: &norm,
            center: center.map(|products| search::Center { square, products }),
            allowed,
            expand: self.expander(isa, codes),
        };
        Ok(threads::run(|| {
            rows.search(isa, sketch, &queries, &norms, count)
        }))
    }
}
