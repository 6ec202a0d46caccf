//! Search on the codes of this quantizer: parameters are checked here, and [`scan`](crate::scan)
//! does the work.

use std::borrow::Cow;
use std::sync::Arc;

use super::Quantizer;
use super::fitted::GroupScalars;
use super::part::Part;
use super::query::Centering;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::code_products::FieldWords;
use crate::methods::RowsOf;
use crate::rows::{Dense, Rows};
use crate::scan::bounds::{Gains, Section, Tables};
use crate::scan::search::{self, Hit, Metric};
use crate::scan::signs::{RowScalars, Signs};
use crate::threads;

/// What a search looks for, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// k, at least 1.
    pub count: usize,
    /// How rows are compared.
    pub metric: Metric,
    /// Which rows may be found, one entry per row; all if it is not given.
    pub allowed: Option<&'a [bool]>,
    /// Whether every allowed row is estimated, so that none is overlooked.
    pub exact: bool,
    /// Whether the ranks of the hits are needed, to [merge](search::merge) parts of the codes.
    pub ranked: bool,
    /// The signs of the codes, which make searches with few queries faster.
    pub signs: Option<&'a Signs>,
}

impl Request<'_> {
    /// A search for the `count` best rows of all.
    pub fn new(count: usize, metric: Metric) -> Self {
        Self {
            count,
            metric,
            allowed: None,
            exact: false,
            ranked: false,
            signs: None,
        }
    }
}

impl Quantizer {
    /// The signs of these codes, which make searches with few queries faster. They are derived from
    /// the codes alone. None if a row is not represented by its codeword vector (a method with γ),
    /// or has too many coordinates.
    ///
    /// # Errors
    /// If the codes belong to another quantizer.
    pub fn signs(&self, isa: Isa, codes: CodesRef<'_>) -> Result<Option<Signs>> {
        self.check(codes)?;
        check_rows(codes.len())?;
        let tables = self.tables().filter(|tables| tables.has_signs());
        let Some(tables) = tables else {
            return Ok(None);
        };
        let scalars = self.row_scalars(codes, &RowScalars::default(), 0)?;
        Ok(Some(threads::run(|| {
            Signs::new(isa, tables, codes, scalars)
        })))
    }

    /// The signs of codes that begin with the rows whose signs are known already.
    ///
    /// # Errors
    /// If the codes belong to another quantizer, or have fewer rows than the signs.
    pub fn extend_signs(&self, isa: Isa, signs: &Signs, codes: CodesRef<'_>) -> Result<Signs> {
        self.check(codes)?;
        check_rows(codes.len())?;
        let tables = self.tables().filter(|tables| tables.has_signs());
        match tables {
            Some(tables) if signs.dim() == self.coded() && signs.rows() <= codes.len() => {
                let scalars = self.row_scalars(codes, signs.scalars(), signs.rows())?;
                Ok(threads::run(|| signs.extended(isa, tables, codes, scalars)))
            }
            _ => Err(Error::invalid("the signs are of other codes")),
        }
    }

    /// The scalars of the rows that are derived with fitted axes, where those of the first rows are
    /// known.
    fn row_scalars(
        &self,
        codes: CodesRef<'_>,
        known: &RowScalars,
        first: usize,
    ) -> Result<RowScalars> {
        if self.scalars.is_none() {
            return Ok(RowScalars::default());
        }
        let new = codes.from_row(first);
        let join = |known: &Option<Arc<[f32]>>, new: Option<Cow<'_, [f32]>>| {
            let known = known.as_deref().unwrap_or_default();
            new.map(|new| known.iter().chain(&*new).copied().collect())
        };
        let products = self.center_products(new, self.product_centering());
        Ok(RowScalars {
            center_products: join(&known.center_products, products),
            norms: join(&known.norms, self.norms(new)?),
        })
    }

    /// What searches need of the codewords. None if rows are not represented by their codeword
    /// vectors.
    fn tables(&self) -> Option<&Tables> {
        let make = || {
            let sections = || self.parts.iter().map(Part::section);
            let Some(scalars) = &self.scalars else {
                return Some(Tables::new(sections().next()??));
            };
            let stride = self.shape.row_bytes;
            let within = |(part, section): (&Part, Option<Section>)| {
                Some(section?.within(part.bytes.start, stride))
            };
            let sections: Option<Vec<Section>> =
                self.parts.iter().zip(sections()).map(within).collect();
            Tables::with_gains(sections?, Box::new(scalars.clone()))
        };
        self.tables.get_or_make(make).as_ref()
    }

    /// The `count` best rows of each of m × dim queries.
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
        self.search_with(
            Isa::current()?,
            codes,
            &queries,
            Request::new(count, metric),
        )
    }

    /// The best rows of each query by their estimates, best first, or all allowed rows if they are
    /// fewer. Ties go to the lower index.
    ///
    /// A row is overlooked with a small probability over rotations, because the bounds of its
    /// product are statistical ones; see [`bounds`](crate::scan::bounds). This says nothing about
    /// rows that are made from the rotation of this quantizer. With [`exact`](Request::exact) none
    /// is overlooked.
    ///
    /// # Errors
    /// If the codes or the signs belong to another quantizer, a query is not finite, `allowed` has
    /// another length, or the metric needs norms that the codes do not have.
    pub fn search_with(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        y: &dyn Rows,
        request: Request<'_>,
    ) -> Result<Vec<Vec<Hit>>> {
        let Request {
            count,
            metric,
            allowed,
            exact,
            ranked,
            signs,
        } = request;
        self.check(codes)?;
        let rows = codes.len();
        if count == 0 {
            return Err(Error::invalid("k is 0, expected at least 1"));
        }
        check_rows(rows)?;
        if let Some(allowed) = allowed.filter(|allowed| allowed.len() != rows) {
            return Err(Error::invalid(format!(
                "the mask has {} entries, expected {rows}, one per row",
                allowed.len()
            )));
        }
        let fits = |signs: &Signs| (signs.rows(), signs.dim()) == (rows, self.coded());
        if !signs.is_none_or(fits) {
            return Err(Error::invalid("the signs are of other codes"));
        }
        let centering = match metric {
            Metric::Euclidean => Centering::Difference,
            _ => self.product_centering(),
        };
        if self.center().is_some() && centering == Centering::Rows {
            let what = if self.scalars.is_some() {
                "along fitted axes"
            } else {
                "with a center"
            };
            return Err(Error::invalid(format!(
                "metric {:?} {what} needs unbiased estimates, and the scale rule {} shrinks them: \
                 make the quantizer, and with it the codes, with the scale rule unbiased (a \
                 method that has it), or search by l2",
                metric.name(),
                self.scale.name()
            )));
        }
        let kept = signs.map(Signs::scalars);
        let norm = match metric {
            Metric::InnerProduct => Some(Cow::default()),
            Metric::Euclidean => self.residual_norms(codes).map(Cow::Borrowed),
            Metric::Cosine => match kept.and_then(|kept| kept.norms.as_deref()) {
                Some(norms) => Some(Cow::Borrowed(norms)),
                None => self.norms(codes)?,
            },
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
        let known = kept.and_then(|kept| kept.center_products.as_deref());
        let center = match known.filter(|_| centering == Centering::Across) {
            Some(products) => Some(Cow::Borrowed(products)),
            None => self.center_products(codes, centering),
        };
        let corpus = search::Corpus {
            codes,
            metric,
            norm: &norm,
            center: center
                .as_deref()
                .map(|products| search::Center { square, products }),
            expand: self.expander(isa, codes),
        };
        // Where all rows are found, only ranks need bounds.
        let most = allowed.map_or(rows, |allowed| allowed.iter().filter(|&&is| is).count());
        let tables = (!exact && (ranked || count < most))
            .then(|| self.tables())
            .flatten();
        Ok(threads::run(|| {
            let mut found = corpus.search(isa, tables, signs, &queries, &norms, allowed, count);
            for hits in &mut found {
                hits.sort_unstable_by(Hit::order);
            }
            found
        }))
    }
}

impl Part {
    /// What searches need of its codewords. None if it is not represented by them.
    fn section(&self) -> Option<Section> {
        let dim = self.dim();
        if self.method.expanded_len(dim) != dim {
            return None;
        }
        if let RowsOf::Path(code) = self.method.rows_of() {
            return Section::of_path(code, dim);
        }
        let (body, coordinates) = self.method.codebook();
        let tail = self.method.tail_codebook();
        let words = [Some((body, coordinates)), tail];
        let fields: Vec<FieldWords<'_>> = (self.layout.fields().iter())
            .zip(words.iter().flatten())
            .map(|(field, (words, coordinates))| FieldWords {
                count: field.count,
                width: field.width,
                words,
                coordinates: *coordinates,
            })
            .collect();
        Section::new(&fields)
    }
}

impl Gains for GroupScalars {
    fn gains(&self, row: &[u8], out: &mut [f32]) {
        self.gains(row, out);
    }
}

/// Hits number rows in 32 bits.
fn check_rows(rows: usize) -> Result<()> {
    if u32::try_from(rows).is_err() {
        return Err(Error::invalid(format!(
            "{rows} rows, expected at most 2^32 - 1 in a search"
        )));
    }
    Ok(())
}
