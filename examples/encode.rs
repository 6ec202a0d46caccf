//! Encodes rows at 2 bits per coordinate, decodes them, and prints size and error.
//!
//! ```sh
//! cargo run --release --example encode
//! ```

use blockquant::{Quantizer, Result, Spec};

fn main() -> Result<()> {
    let dim = 384;
    let rows: Vec<f32> = (0..1000 * dim).map(|i| (0.7 * i as f32).sin()).collect();
    let quantizer = Quantizer::new(Spec {
        scale: Some("mse".into()),
        ..Spec::new("blockquant", dim, 2.0)
    })?;
    let codes = quantizer.encode(&rows)?;
    let back = quantizer.decode(codes.view())?;
    let error: f64 = (rows.iter().zip(&back))
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum();
    let total: f64 = rows.iter().map(|a| f64::from(*a).powi(2)).sum();
    println!(
        "{} bytes as float32, {} bytes as codes",
        4 * rows.len(),
        codes.bytes()
    );
    println!("normalised mean squared error {:.3}", error / total);
    Ok(())
}
