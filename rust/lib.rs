//! Rotation-based vector quantization: BlockQuant, EDEN, RaBitQ, TurboQuant and trellis codes in
//! one pipeline. It turns float vectors into a few bits per coordinate, and computes inner products
//! and nearest neighbors on these bits, with a known error.
//!
//! ```text
//! x --normalize--> x/‖x‖ --rotate--> z = R x/‖x‖, u = √d·z --assign--> c --pack--> bytes
//! stored with it: s = ‖x‖·S                    decode: x̂ = s · Rᵀ c / √d
//! ```
//!
//! A random rotation makes the coordinates of every row look alike, so one codebook serves all rows
//! and nothing is trained. The methods differ only in how they assign c and in the scale rule S.
//!
//! # Example
//!
//! ```
//! use blockquant::{Quantizer, Spec};
//!
//! let quantizer = Quantizer::new(Spec {
//!     scale: Some("mse".into()),
//!     ..Spec::new("blockquant", 64, 2.0)
//! })?;
//! let x: Vec<f32> = (0..128).map(|i| (i as f32).sin()).collect();
//! let codes = quantizer.encode(&x)?;
//! assert_eq!(codes.packed.len(), 2 * 16);
//! let back = quantizer.decode(codes.view())?;
//! let error: f32 = x.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum();
//! let total: f32 = x.iter().map(|a| a * a).sum();
//! assert!(error < 0.2 * total);
//! # Ok::<(), blockquant::Error>(())
//! ```
//!
//! # Modules
//!
//! - [`quantizer`] runs the pipeline: encode, decode, inner products, intervals and search.
//! - [`methods`] has the five methods. They use [`codebook`], [`rotation`] and [`rng`].
//! - [`cache`] keeps the keys and values of an attention layer in codes, and attends from them.
//! - [`axes`] is the mean and the principal axes of a sample, and their fit.
//! - [`codes`] defines the bytes of a row, and [`mod@file`] the bytes of a file.
//! - [`scan`] computes on packed codes, and [`interval`] has the law of their error.
//! - [`kernels`] has the inner loops for each instruction set ([`isa`]), and [`threads`] the thread
//!   pool.
//!
//! # Notation
//!
//! | symbol | meaning |
//! |---|---|
//! | n, d | number of rows; dimension |
//! | b, w | bits per coordinate; bits per block index, w = round(b·p) |
//! | x, y | a row; a query |
//! | μ, r | the center, which is subtracted from every row; r = x − μ, which then takes the place of x |
//! | R | the random orthogonal matrix, fixed by a seed ([`rotation`]) |
//! | z, u | R x/‖x‖; √d·z, the rotated coordinates, which have unit variance |
//! | p, K | block size; number of codewords per block, K = 2^w ([`codebook`]) |
//! | c | the codeword vector of a row, in the units of u ([`methods`]) |
//! | ρ, Q | ⟨u, c⟩/d; ‖c‖²/d, which is written ‖c‖² beside ρ |
//! | S, s | the scale rule: 1, ρ/Q or 1/ρ ([`methods::ScaleRule`]); the stored scale s = ‖x‖·S |
//! | x̂, r̂ | the decoded row; the decoded residual |
//! | θ | the angle between u and c: cos θ = ρ/√Q, and the error depends on θ alone |
//! | m, a | ⟨x, y⟩ of unit vectors; its estimate from the direction of the code ([`interval`]) |
//! | t, τ | a coordinate of a uniform point of the sphere S^(d−2); the quantile of \|t\| |
//! | G, γ | the Gaussian matrix of TurboQuant `prod`; ‖u − c‖, which `prod` stores |
//! | g, e′ | the factor of the signs of c, and the spread of their error ([`scan::bounds`]) |
//! | q, k_j, v_j | a query of attention; the key and the value of token j ([`cache`]) |
//! | vᵢ, λᵢ | the principal axes of a sample and the variances along them ([`axes`]) |
//! | R_j | the rotary embedding of token j ([`cache`]) |
//! | c̃ | a codeword vector whose coordinates are whole multiples of a step ([`cache::coder`]) |
//!
//! For methods with blocks, t also is the length d mod p of the tail. With a center, a is ⟨y,
//! μ⟩/‖μ‖² in the text about queries.
//!
//! # Design
//!
//! **The rotation needs no padding.** Rows of every dimension use windows of a power of two that
//! overlap at the end, so the code size depends on d only. Padding to the next power of two was
//! rejected: at d = 1536 it would add a third to the bytes of every row. Three rounds with a
//! shuffle of runs between them are needed. One round leaves one-hot rows with errors of .05 to .16
//! instead of .117. Three rounds at d = 1536 that mix three windows only by a small matrix still
//! leave .125. A dense matrix remains as the reference and for short rows. See [`rotation`].
//!
//! **Codebooks are computed, not trained.** After the rotation every block has the same known
//! density, so a codebook depends on (d, p, K) only. It is computed in a fixed order with `libm`,
//! which gives the same bits on every platform. Training on the data was rejected for these
//! methods, because codes would then depend on the sample.
//!
//! **A center costs one scalar per row.** ⟨μ, r⟩ is stored, and ‖x‖ is derived from it and ‖r‖.
//! Storing two norms and deriving ⟨μ, r⟩ was rejected: the difference of two rounded squares loses
//! all digits if the center is short. The query is centered as well, because centering the rows
//! only loses most of the gain. See [`codes`].
//!
//! **Scalar code is the definition.** Every kernel has a scalar version with a fixed number of
//! lanes and a fixed order of sums, and the vector versions give equal bits. So codes, estimates
//! and the order of hits do not depend on the instruction set or on the number of threads, and
//! tests compare them exactly. A free order of sums was rejected, because codes would then differ
//! between machines.
//!
//! **A file is a safetensors file.** The container is simple, can be mapped, and has readers in
//! many languages, so a new container format was rejected. The header is accepted only if it equals
//! the one that would be written, which makes checks for single faults unnecessary. See
//! [`mod@file`].
//!
//! **Each process has its own thread pool.** The global pool of the library behind it was rejected,
//! because a forked child inherits that pool without its threads and would wait without end. A call
//! would also wait for work that others put there. See [`threads`].
//!
//! **A cache codes pages of 64 tokens.** A page is large enough that its tables cost little beside
//! its codes and that kernels read whole vectors of tokens, and small enough that few tokens wait
//! as exact numbers. It is the unit of sharing too, so that beams and copies move no tokens. Coding
//! each token by itself was rejected: a scale of one byte needs a base, which would then be longer
//! than the scale. See [`cache`].
//!
//! **A cache keeps sinks and a window exact.** Most heads attend strongly to the first tokens and
//! to the newest ones, so errors there cost most, and few tokens cost little memory. Exact tokens
//! also give the mean of the keys before anything is coded. Coding every token at once was
//! rejected, because the first tokens would then be coded before a mean is known.
//!
//! **What is coded follows from the length alone.** So a cache that took its tokens one by one has
//! the bytes of one that took them at once, and a crop within the rollback has those of a cache
//! that never had the tokens. Coding what happened to be there at the end of a call was rejected,
//! because results would then depend on how a prompt is divided.
//!
//! **Search bounds, prunes and reranks.** The signs of a code and its integers give every row two
//! upper bounds, and only rows whose bounds reach the k-th best row known are estimated. Reranking
//! a fixed number of rows was rejected, because the probability of losing a row would then be
//! unknown. Here it is known, and an exact search overlooks no row. Rows are chosen by the
//! least of the estimate and its bounds, which depends on the row and the query alone; so threads,
//! instruction sets and splits of the rows give the same result. See [`scan`].
//!
//! **Intervals follow from an exact law.** The error of an estimate is a known random variable
//! given θ, and θ follows from the stored scalars. Fitted constants were rejected. See
//! [`interval`].

mod aligned;
pub mod axes;
pub mod cache;
pub mod codes;
pub mod error;
pub mod file;
pub mod isa;
pub mod methods;
pub mod quantizer;
pub mod rotation;
pub mod rows;
pub mod threads;

// Public for the tests, benches and examples of this repository only: what is in these modules can
// change in any version.
#[doc(hidden)]
pub mod codebook;
#[doc(hidden)]
pub mod interval;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod rng;
#[doc(hidden)]
pub mod scan;

#[cfg(feature = "python")]
mod python;

pub use axes::Axes;
pub use codes::{Codes, CodesRef};
pub use error::{Error, Result};
pub use interval::Direction;
pub use isa::Isa;
pub use quantizer::{Quantizer, Request, Spec};
pub use rotation::{Rotation, RotationKind};
pub use rows::{Dense, Rows};
pub use scan::search::{Hit, Metric};
pub use scan::signs::Signs;
