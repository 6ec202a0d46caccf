//! Search on the codes of this quantizer: parameters are checked here, and [`scan`](crate::scan)
//! does the work.

use std::borrow::Cow;

use super::Quantizer;
use super::query::Centering;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::rows::{Dense, Rows};
use crate::scan::search::{self, Hit, Metric};
use crate::scan::sketch::Sketch;
use crate::threads;

impl Quantizer {
    /// The sketch that makes searches of these codes fast. It is derived from the codes alone. None
    /// if a row is not represented by its codeword vector (a method with γ), or has too many
    /// coordinates for 16-bit sums.
    ///
    /// [`sketch_pays`](crate::scan::search::sketch_pays) says for which searches it is worth
    /// making.
    pub fn sketch(&self, isa: Isa, codes: CodesRef<'_>) -> Result<Option<Sketch>> {
        self.check(codes)?;
        let dim = self.spec.dim;
        if self.method.expanded_len(dim) != dim || !Sketch::fits(dim) {
            return Ok(None);
        }
        let expander = self.expander(isa, codes);
        Ok(Some(Sketch::new(isa, dim, codes.scale, &expander)))
    }

    /// The `count` best rows of each of m × dim queries, of which every row is estimated. To search
    /// the same codes repeatedly, make their [`sketch`](Self::sketch) once and give it to
    /// [`search_with`](Self::search_with), which is faster.
    ///
    /// # Errors
    /// As [`search_with`](Self::search_with), and if the length is not a multiple of dim.
    pub fn search(
        &self,
        codes: CodesRef<'_>,
        y: &[f32],
        count: usize,
        metric: Metric,
    ) -> Result<Vec<Vec<Hit>>> {
        let queries = Dense::new(y, self.spec.dim)?;
        self.search_with(Isa::current()?, codes, None, &queries, count, metric, None)
    }

    /// The `count` best rows of each query by their estimates, best first, or all `allowed` rows if
    /// they are fewer. Ties go to the lower index.
    ///
    /// With the sketch of the codes a row is overlooked with a small probability over rotations.
    /// This says nothing about rows that are made from the rotation of this quantizer; see
    /// [`sketch`](crate::scan::sketch). Without a sketch every allowed row is estimated, and none
    /// is overlooked.
    ///
    /// # Errors
    /// If the codes or the sketch belong to another quantizer, a query is not finite, `allowed` has
    /// another length, or the metric needs norms that the codes do not have.
    #[allow(clippy::too_many_arguments)]
    pub fn search_with(
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
                "the mask has {} entries, expected {rows}, one per row",
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
        let square = self.center_square;
        let center = self.center_products(codes, centering);
        let rows = search::Corpus {
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
