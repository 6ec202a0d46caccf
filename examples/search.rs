//! Finds the rows with the largest inner products with a query, on the codes alone.
//!
//! ```sh
//! cargo run --release --example search
//! ```

use blockquant::{Dense, Isa, Metric, Quantizer, Request, Result, Spec};

fn main() -> Result<()> {
    let dim = 384;
    let rows: Vec<f32> = (0..1000 * dim)
        .map(|i| (1e-3 * (i as f32).powf(1.3)).sin())
        .collect();
    let quantizer = Quantizer::new(Spec::new("blockquant", dim, 4.0))?;
    let codes = quantizer.encode(&rows)?;
    let query = &rows[..dim];
    for hit in &quantizer.search(codes.view(), query, 3, Metric::InnerProduct)?[0] {
        println!("row {:>3} has the inner product {:.2}", hit.row, hit.score);
    }
    // For many searches of the same codes with few queries each, their signs are derived once.
    let isa = Isa::current()?;
    let signs = quantizer.signs(isa, codes.view())?;
    let request = Request {
        signs: signs.as_ref(),
        ..Request::new(3, Metric::InnerProduct)
    };
    let found = quantizer.search_with(isa, codes.view(), &Dense::new(query, dim)?, request)?;
    println!("with signs the best row is {}", found[0][0].row);
    Ok(())
}
