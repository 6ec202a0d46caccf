//! The pipeline that is the same for every method.
//!
//! x → ‖x‖, x/‖x‖ → u = √d·R x/‖x‖ → [`Method::assign`] → c, ρ = ⟨u, c⟩/d, ‖c‖²/d → s = ‖x‖·S → packed bits.
//! Back: x̂ = s·Rᵀ c/√d. Rows are independent of each other, so the bytes are the same for any number of threads and any batch. Memory
//! besides the result is a few rows a thread.

use rayon::prelude::*;

use crate::codes::Codes;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::reduce;
use crate::methods::{BlockQuant, Eden, Method, RaBitQ, ScaleRule, TurboMse, TurboProd, Workspace};
use crate::rotation::{Rotation, RotationKind};
use crate::rows::Rows;
use crate::scan::{self, Query};

/// Rows that a thread takes at a time.
const CHUNK: usize = 32;

/// What names a quantizer: with these values it is the same for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `blockquant`, `eden`, `turboquant/mse`, `turboquant/prod` or `rabitq`.
    pub method: String,
    /// Coordinates of a row.
    pub dim: usize,
    /// Bits a coordinate.
    pub bits: f64,
    /// `none`, `mse` or `unbiased`; the method's default where none is named.
    pub scale: Option<String>,
    /// Block size of BlockQuant; the default where none is named.
    pub block: Option<usize>,
    /// Which rotation.
    pub rotation: RotationKind,
    /// Seed of everything random.
    pub seed: u64,
    /// Whether ‖x‖ is stored.
    pub store_norm: bool,
}

/// A method with its rotation and scale rule.
#[derive(Debug)]
pub struct Quantizer {
    spec: Spec,
    scale: ScaleRule,
    rotation: Rotation,
    method: Box<dyn Method>,
}

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    row: Vec<f32>,
    c: Vec<f32>,
    scratch: Vec<f32>,
    index: Vec<u16>,
    work: Workspace,
}

impl Quantizer {
    /// Builds codebook and rotation.
    pub fn new(mut spec: Spec) -> Result<Self> {
        let Spec {
            dim,
            bits,
            block,
            seed,
            ..
        } = spec;
        if dim == 0 {
            return Err(Error::invalid("dim is 0, expected at least 1"));
        }
        if block.is_some() && spec.method != "blockquant" {
            return Err(Error::invalid(format!(
                "block is not an option of {}",
                spec.method
            )));
        }
        let method: Box<dyn Method> = match spec.method.as_str() {
            "blockquant" => {
                let method = BlockQuant::new(dim, bits, block)?;
                spec.block = Some(method.block());
                Box::new(method)
            }
            "eden" => Box::new(Eden::new(dim, bits)?),
            "turboquant/mse" => Box::new(TurboMse::new(dim, bits)?),
            "turboquant/prod" => Box::new(TurboProd::new(dim, bits, seed)?),
            "rabitq" => Box::new(RaBitQ::new(dim, bits)?),
            other => {
                return Err(Error::invalid(format!(
                    "unknown method {other:?}, expected blockquant, eden, turboquant/mse, turboquant/prod or rabitq"
                )));
            }
        };
        let scale = choose_scale(&*method, spec.scale.as_deref())?;
        let rotation = Rotation::new(spec.rotation, dim, seed)?;
        Ok(Self {
            spec,
            scale,
            rotation,
            method,
        })
    }

    /// What it was built from, with the default block filled in.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The scale rule.
    pub fn scale(&self) -> ScaleRule {
        self.scale
    }

    /// The method.
    pub fn method(&self) -> &dyn Method {
        &*self.method
    }

    /// The rotation.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Encodes every row; on an error nothing.
    pub fn encode(&self, isa: Isa, rows: &dyn Rows) -> Result<Codes> {
        let (n, dim) = (rows.rows(), self.spec.dim);
        check_dim(rows.dim(), dim)?;
        let row_bytes = self.method.layout().row_bytes();
        let floats = |wanted: bool| vec![0f32; if wanted { n } else { 0 }];
        let mut packed = vec![0u8; n * row_bytes];
        let mut scale = floats(true);
        let mut norm = floats(self.spec.store_norm);
        let mut residual = floats(self.method.has_residual_norm());
        let errors: Vec<Result<()>> = packed
            .par_chunks_mut(CHUNK * row_bytes)
            .zip(scale.par_chunks_mut(CHUNK))
            .zip(optional_chunks(&mut norm, n))
            .zip(optional_chunks(&mut residual, n))
            .enumerate()
            .map_init(
                Buffers::default,
                |buffers, (chunk, (((packed, scale), norm), residual))| {
                    for (i, code) in packed.chunks_exact_mut(row_bytes).enumerate() {
                        let done = self.encode_row(isa, rows, chunk * CHUNK + i, code, buffers)?;
                        scale[i] = done.scale;
                        if let Some(slot) = norm.get_mut(i) {
                            *slot = done.norm;
                        }
                        if let Some(slot) = residual.get_mut(i) {
                            *slot = done.residual_norm;
                        }
                    }
                    Ok(())
                },
            )
            .collect();
        errors.into_iter().collect::<Result<()>>()?;
        Ok(Codes {
            row_bytes,
            packed,
            scale,
            norm: self.spec.store_norm.then_some(norm),
            residual_norm: self.method.has_residual_norm().then_some(residual),
        })
    }

    fn encode_row(
        &self,
        isa: Isa,
        rows: &dyn Rows,
        row: usize,
        code: &mut [u8],
        buffers: &mut Buffers,
    ) -> Result<RowScalars> {
        let Buffers {
            row: u,
            c,
            scratch,
            index,
            work,
        } = buffers;
        let dim = self.spec.dim;
        let norm = self.load(isa, rows, row, u, scratch)?;
        index.resize(self.method.layout().indices(), 0);
        let residual_norm = self.method.assign(isa, u, work, index);
        self.method.layout().pack(isa, index, code);
        if norm == 0.0 {
            return Ok(RowScalars {
                scale: 0.0,
                norm: 0.0,
                residual_norm: 0.0,
            });
        }
        let factor = if self.scale == ScaleRule::None {
            1.0
        } else {
            c.resize(dim, 0.0);
            self.method.codewords(isa, index, c);
            let rho = f64::from(reduce::dot(isa, u, c)) / dim as f64;
            let squared_norm = f64::from(reduce::dot(isa, c, c)) / dim as f64;
            self.scale.scale(rho, squared_norm)
        };
        let scale = (norm * factor) as f32;
        if !scale.is_finite() {
            return Err(Error::NormOverflow {
                row,
                norm: norm * factor,
            });
        }
        Ok(RowScalars {
            scale,
            norm: norm as f32,
            residual_norm,
        })
    }

    /// u of a row into `u`, and its norm.
    fn load(
        &self,
        isa: Isa,
        rows: &dyn Rows,
        row: usize,
        u: &mut Vec<f32>,
        scratch: &mut Vec<f32>,
    ) -> Result<f64> {
        u.resize(self.spec.dim, 0.0);
        rows.read(row, u);
        let squared = reduce::squared_norm(isa, u);
        if !squared.is_finite() {
            let column = u.iter().position(|x| !x.is_finite()).unwrap_or(0);
            return Err(Error::NotFinite {
                row,
                column,
                value: rows.text(row, column),
            });
        }
        let norm = squared.sqrt();
        if norm > f64::from(f32::MAX) {
            return Err(Error::NormOverflow { row, norm });
        }
        if norm > 0.0 {
            multiply(u, (self.spec.dim as f64).sqrt() / norm);
            self.rotation.apply(isa, u, scratch);
        }
        Ok(norm)
    }

    /// Decodes every row into `out`, n × dim.
    pub fn decode(&self, isa: Isa, codes: &Codes, out: &mut [f32]) -> Result<()> {
        let dim = self.spec.dim;
        self.check(codes)?;
        if out.len() != codes.len() * dim {
            return Err(Error::invalid(format!(
                "room for {} values, expected {} rows of {dim}",
                out.len(),
                codes.len()
            )));
        }
        out.par_chunks_mut(dim)
            .enumerate()
            .for_each_init(Buffers::default, |buffers, (row, x)| {
                let index = self.unpack(isa, codes, row, &mut buffers.index);
                self.method.codewords(isa, index, x);
                if let Some(gamma) = &codes.residual_norm {
                    self.method.add_residual(isa, index, gamma[row], x);
                }
                self.rotation.apply_inverse(isa, x, &mut buffers.scratch);
                multiply(x, f64::from(codes.scale[row]) / (dim as f64).sqrt());
            });
        Ok(())
    }

    /// Estimates of ⟨x, y⟩ from the codes: m × n, row j for query j.
    pub fn inner_product(
        &self,
        isa: Isa,
        codes: &Codes,
        y: &dyn Rows,
        out: &mut [f32],
    ) -> Result<()> {
        let dim = self.spec.dim;
        self.check(codes)?;
        check_dim(y.dim(), dim)?;
        let length = self.method.expanded_len(dim);
        let query = |row: usize| -> Result<Query> {
            let mut vector = vec![0f32; dim];
            let norm = self.load(isa, y, row, &mut vector, &mut Vec::new())?;
            vector.resize(length, 0.0);
            self.method.prepare(isa, dim, &mut vector);
            Ok(Query {
                vector,
                factor: norm / dim as f64,
            })
        };
        let queries = (0..y.rows()).into_par_iter().map(query).collect::<Vec<_>>();
        let queries = queries.into_iter().collect::<Result<Vec<_>>>()?;
        scan::inner_products(isa, &queries, &codes.scale, out, |from, live, buffer| {
            let mut indices = Vec::new();
            for (row, expanded) in (from..from + live).zip(buffer.chunks_exact_mut(length)) {
                let index = self.unpack(isa, codes, row, &mut indices);
                let gamma = codes
                    .residual_norm
                    .as_ref()
                    .map_or(0.0, |values| values[row]);
                self.method.expand(isa, index, gamma, expanded);
            }
        });
        Ok(())
    }

    fn unpack<'a>(
        &self,
        isa: Isa,
        codes: &Codes,
        row: usize,
        indices: &'a mut Vec<u16>,
    ) -> &'a [u16] {
        let layout = self.method.layout();
        indices.resize(layout.indices(), 0);
        layout.unpack(
            isa,
            &codes.packed[row * codes.row_bytes..][..codes.row_bytes],
            indices,
        );
        indices
    }

    fn check(&self, codes: &Codes) -> Result<()> {
        codes.check(self.method.layout(), self.method.has_residual_norm())
    }
}

struct RowScalars {
    scale: f32,
    norm: f32,
    residual_norm: f32,
}

fn choose_scale(method: &dyn Method, name: Option<&str>) -> Result<ScaleRule> {
    let allowed = method.scales();
    match name {
        None => Ok(allowed.first().copied().unwrap_or(ScaleRule::None)),
        Some(name) => allowed
            .iter()
            .copied()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = allowed.iter().map(|rule| rule.name()).collect();
                Error::invalid(match names.as_slice() {
                    [] => format!(
                        "{} has a fixed scale, scale={name:?} is not an option",
                        method.name()
                    ),
                    _ => format!(
                        "scale={name:?} for {}, expected {}",
                        method.name(),
                        names.join(", ")
                    ),
                })
            }),
    }
}

fn check_dim(found: usize, expected: usize) -> Result<()> {
    if found != expected {
        return Err(Error::invalid(format!(
            "rows have {found} columns, expected dim={expected}"
        )));
    }
    Ok(())
}

/// x ← factor·x, in float64 where the factor is near the ends of float32's range.
fn multiply(x: &mut [f32], factor: f64) {
    if (1e-30..=1e30).contains(&factor.abs()) {
        let factor = factor as f32;
        x.iter_mut().for_each(|value| *value *= factor);
    } else {
        x.iter_mut()
            .for_each(|value| *value = (f64::from(*value) * factor) as f32);
    }
}

/// The chunks of `values`, or as many empty ones where there are none.
fn optional_chunks(
    values: &mut [f32],
    rows: usize,
) -> impl IndexedParallelIterator<Item = &mut [f32]> {
    let mut pieces: Vec<&mut [f32]> = values.chunks_mut(CHUNK).collect();
    pieces.resize_with(rows.div_ceil(CHUNK), || &mut []);
    pieces.into_par_iter()
}
