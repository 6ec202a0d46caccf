//! Writes a quantizer and its codes to one file and reads them again.
//!
//! ```sh
//! cargo run --release --example save
//! ```

use blockquant::{Quantizer, Result, Spec, file};

fn main() -> Result<()> {
    let dim = 384;
    let rows: Vec<f32> = (0..100 * dim).map(|i| (0.7 * i as f32).sin()).collect();
    let quantizer = Quantizer::new(Spec::new("eden", dim, 2.0))?;
    let codes = quantizer.encode(&rows)?;
    let name = format!("blockquant-{}.safetensors", std::process::id());
    let path = std::env::temp_dir().join(name);
    file::save(&path, &quantizer, codes.view(), None)?;
    let (same, back) = file::load(&path, true)?;
    std::fs::remove_file(&path).ok();
    println!("{} rows of {:?} came back", back.len(), same.spec().method);
    assert_eq!((same.spec(), back), (quantizer.spec(), codes));
    Ok(())
}
