//! The trellis code against what its mathematics says, and every instruction set against the
//! definition.

use blockquant::Isa;
use blockquant::codebook::trellis::{Design, designs};
use blockquant::kernels::trellis::{Code, Workspace, assign, codewords};
use blockquant::rng::SeedStream;

/// Rows on the sphere of radius √d, in units of u.
fn rows(dim: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut stream = SeedStream::new(seed, 77);
    let mut rows = Vec::new();
    for _ in 0..count {
        let row: Vec<f64> = (0..dim).map(|_| stream.gaussian()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        rows.extend(row.iter().map(|x| (x / norm * (dim as f64).sqrt()) as f32));
    }
    rows
}

fn bits_of(design: &Design) -> f64 {
    f64::from(design.half_bits()) / 2.0
}

/// The mean of sin²θ·4^b.
fn error(code: &Code, bits: f64, dim: usize, count: usize) -> f64 {
    let u = rows(dim, count, 5);
    let mut packed = vec![0; count * code.row_bytes(dim)];
    assign(
        Isa::Scalar,
        code,
        dim,
        &u,
        &mut Workspace::default(),
        &mut packed,
    );
    let mut c = vec![0.0; dim];
    let mut sum = 0.0;
    for (u, packed) in u
        .chunks_exact(dim)
        .zip(packed.chunks_exact(code.row_bytes(dim)))
    {
        codewords(Isa::Scalar, code, packed, &mut c);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum()
        };
        sum += 1.0 - dot(u, &c).powi(2) / dot(u, u) / dot(&c, &c);
    }
    sum / count as f64 * 4f64.powf(bits)
}

#[test]
fn print_errors() {
    for design in designs().iter().filter(|d| d.states() == 64) {
        for dim in [1536] {
            let bits = bits_of(design);
            let e = error(&design.code(), bits, dim, 400_000 / dim);
            println!("states {} bits {bits} d {dim}: {e:.4}", design.states());
        }
    }
}
