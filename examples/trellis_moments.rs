//! Measures the angle between rows and their trellis codes, for the theory in Python. The result is
//! deterministic.
//!
//! ```sh
//! cargo run --release --example trellis_moments > python/blockquant/theory/trellis.csv
//! ```
//!
//! Rows u are uniform on the sphere, ‖u‖² = d, as a Haar rotation makes them. With ρ = ⟨u, c⟩/d and
//! Q = ‖c‖²/d the columns are the means of sin²θ = 1 − ρ²/Q, of tan²θ = Q/ρ² − 1, of the distortion
//! 1 − 2ρ + Q and of ρ, the variances of sin²θ and of ρ, and the relative accuracy: three standard
//! errors of sin²θ or of tan²θ, whichever is greater.

use blockquant::Isa;
use blockquant::codebook::trellis::{Design, designs};
use blockquant::kernels::trellis::{Workspace, assign, codewords};
use blockquant::rng::SeedStream;
use blockquant::threads;

/// The label of the seed stream that rows are drawn from; the seed is d.
const LABEL_MOMENTS: u64 = 9;
/// Coordinates of all rows of a dimension.
const COORDINATES: usize = 1 << 20;
/// The same, divided by the number of states, where every start is tried.
const COORDINATES_OF_STARTS: usize = 1 << 22;
/// Rows of fewer steps try every start.
const FEW_STEPS: usize = 32;

/// The dimensions above those of up to 16 steps: between these the moments go straight, but for the
/// step at [`FEW_STEPS`], of which both sides are here.
const DIMS_OF_WHOLE: [usize; 17] = [
    20, 24, 28, 31, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 768, 1536, 4096,
];
const DIMS_OF_HALF: [usize; 14] = [
    40, 48, 62, 63, 64, 80, 96, 128, 192, 256, 384, 768, 1536, 4096,
];

/// The dimensions of a design. Up to 16 steps the moments jump, because some circles suit the
/// generators less.
fn dims(design: &Design) -> Vec<usize> {
    if design.half_bits().is_multiple_of(2) {
        (1..=16).chain(DIMS_OF_WHOLE).collect()
    } else {
        (1..=32).chain(DIMS_OF_HALF).collect()
    }
}

/// At least so many coordinates of rows of the sphere.
fn rows(dim: usize) -> Vec<f32> {
    let mut stream = SeedStream::new(dim as u64, LABEL_MOMENTS);
    let mut out = Vec::new();
    while out.len() < COORDINATES {
        let row: Vec<f64> = (0..dim).map(|_| stream.gaussian()).collect();
        let square: f64 = row.iter().map(|x| x * x).sum();
        let factor = (dim as f64 / square).sqrt();
        out.extend(row.iter().map(|x| (x * factor) as f32));
    }
    out
}

/// The mean of some values and their variance.
fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    (mean, square / count)
}

/// One line of the table.
fn measure(design: &Design, dim: usize, rows: &[f32]) -> String {
    let code = design.code();
    let count = if code.steps(dim) < FEW_STEPS {
        (COORDINATES_OF_STARTS / design.states()).min(COORDINATES) / dim
    } else {
        rows.len() / dim
    };
    let isa = Isa::detect();
    let mut work = Workspace::default();
    let row_bytes = code.row_bytes(dim);
    let mut packed = vec![0; count * row_bytes];
    assign(
        isa,
        &code,
        dim,
        &rows[..count * dim],
        &mut work,
        &mut packed,
    );
    let mut c = vec![0.0; dim];
    let [mut sine, mut tangent, mut distortion, mut rho] = [const { Vec::new() }; 4];
    for (u, packed) in rows.chunks_exact(dim).zip(packed.chunks_exact(row_bytes)) {
        codewords(isa, &code, packed, &mut c);
        let (mut along, mut square) = (0.0, 0.0);
        for (&u, &c) in u.iter().zip(&c) {
            along += f64::from(u) * f64::from(c);
            square += f64::from(c) * f64::from(c);
        }
        let (along, square) = (along / dim as f64, square / dim as f64);
        sine.push(1.0 - along * along / square);
        tangent.push(square / (along * along) - 1.0);
        distortion.push(1.0 - 2.0 * along + square);
        rho.push(along);
    }
    let [sine, tangent, distortion, rho] =
        [sine, tangent, distortion, rho].map(|values| mean_and_variance(&values));
    let accuracy = [sine, tangent]
        .map(|(mean, variance)| 3.0 * (variance / count as f64).sqrt() / mean.max(1e-9));
    format!(
        "{},{},{dim},{:.5e},{:.4e},{:.5e},{:.5e},{:.6},{:.4e},{:.5}",
        design.states(),
        f64::from(design.half_bits()) / 2.0,
        sine.0.max(0.0),
        sine.1,
        tangent.0.max(0.0),
        distortion.0,
        rho.0,
        rho.1,
        accuracy[0].max(accuracy[1]),
    )
}

fn main() {
    let mut all: Vec<usize> = designs().iter().flat_map(dims).collect();
    all.sort_unstable();
    all.dedup();
    let mut lines = vec![Vec::new(); designs().len()];
    for dim in all {
        let rows = rows(dim);
        let has = |(_, design): &(usize, &Design)| dims(design).contains(&dim);
        let items: Vec<_> = designs().iter().enumerate().filter(has).collect();
        for (at, line) in threads::map(items, |_, (at, design)| (at, measure(design, dim, &rows))) {
            lines[at].push(line);
        }
        eprintln!("d = {dim}");
    }
    println!("states,bits,dim,sin2,sin2_variance,tan2,distortion,rho,rho_variance,accuracy");
    println!("{}", lines.concat().join("\n"));
}
