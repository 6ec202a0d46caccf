//! Tests of intervals from Rust: the same bits on every instruction set, agreement with the public
//! directions and estimates, and errors.

use blockquant::interval::Interval;
use blockquant::{Codes, Dense, Isa, Quantizer, Spec};

use crate::common;

const DIM: usize = 70;

fn spec(method: &str, scale: &str) -> Spec {
    Spec {
        scale: Some(scale.into()),
        ..common::spec(method, DIM, 2.0)
    }
}

fn gaussian(rows: usize, seed: u64) -> Vec<f32> {
    common::gaussian(rows * DIM, seed)
}

fn encode(quantizer: &Quantizer, x: &[f32]) -> Codes {
    common::encode(quantizer, Isa::detect(), x)
}

#[test]
fn every_instruction_set_gives_the_same_bounds() {
    let (x, y) = (gaussian(67, 1), gaussian(3, 2));
    let y = Dense::new(&y, DIM).unwrap();
    for (method, scale) in [("blockquant", "unbiased"), ("eden", "mse")] {
        for center in [None, Some(gaussian(1, 3))] {
            let quantizer = Quantizer::new(Spec {
                center,
                ..spec(method, scale)
            })
            .unwrap();
            let codes = encode(&quantizer, &x);
            let bounds = |isa| {
                let (mut low, mut high) = (vec![0.0; 3 * 67], vec![0.0; 3 * 67]);
                quantizer
                    .interval(isa, codes.view(), &y, 0.99, &mut low, &mut high)
                    .unwrap();
                (low, high)
            };
            for isa in Isa::available() {
                assert_eq!(bounds(isa), bounds(Isa::Scalar), "{method} {isa:?}");
            }
        }
    }
}

#[test]
fn directions_and_estimates_give_the_bounds() {
    let isa = Isa::detect();
    let (x, y) = (gaussian(40, 1), gaussian(1, 2));
    let size: f64 = y.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let y = Dense::new(&y, DIM).unwrap();
    for scale in ["unbiased", "mse"] {
        let quantizer = Quantizer::new(spec("rabitq", scale)).unwrap();
        let codes = encode(&quantizer, &x);
        let (mut low, mut high, mut estimate) = (vec![0.0; 40], vec![0.0; 40], vec![0.0; 40]);
        quantizer
            .interval(isa, codes.view(), &y, 0.9, &mut low, &mut high)
            .unwrap();
        quantizer
            .inner_product(isa, codes.view(), &y, &mut estimate)
            .unwrap();
        let interval = Interval::new(DIM, 0.9).unwrap();
        let directions = quantizer.directions(isa, codes.view()).unwrap();
        for (i, direction) in directions.iter().enumerate() {
            let along = f64::from(estimate[i]) * direction.factor / size;
            let (least, most) = interval.of(direction.cosine).at(along);
            let unit = direction.norm * size;
            assert!((least * unit - f64::from(low[i])).abs() < 1e-6 * unit);
            assert!((most * unit - f64::from(high[i])).abs() < 1e-6 * unit);
        }
    }
}

#[test]
fn bad_input_is_named() {
    let isa = Isa::detect();
    let (x, y) = (gaussian(2, 1), gaussian(1, 2));
    let y = Dense::new(&y, DIM).unwrap();
    let error = |spec: Spec, change: fn(&mut Codes), confidence, room: usize| {
        let quantizer = Quantizer::new(spec).unwrap();
        let mut codes = encode(&quantizer, &x);
        change(&mut codes);
        let (mut low, mut high) = (vec![0.0; 2], vec![0.0; room]);
        quantizer
            .interval(isa, codes.view(), &y, confidence, &mut low, &mut high)
            .unwrap_err()
            .to_string()
    };
    let eden = || spec("eden", "mse");
    let nothing: fn(&mut Codes) = |_| ();
    for (found, text) in [
        (
            error(spec("blockquant", "none"), nothing, 0.9, 2),
            "blockquant/none has another rule",
        ),
        (
            error(eden(), |codes| codes.norm = None, 0.9, 2),
            "intervals need the norms of the rows: make the quantizer, and with it the codes, with \
             store_norm: true",
        ),
        (
            error(eden(), |codes| codes.norm = Some(vec![1.0]), 0.9, 2),
            "1 norm, expected 2",
        ),
        (
            error(eden(), nothing, 1.0, 2),
            "confidence=1, expected a number between 0 and 1",
        ),
        (
            error(eden(), nothing, 0.9, 3),
            "room for 3 values, expected m × n = 1 × 2",
        ),
    ] {
        assert!(found.contains(text), "{found}");
    }
}
