//! Tests of files with the ids of rows: golden bytes, round trips, and ids that are refused.

use std::borrow::Cow;

use blockquant::file::{self, Contents, Ids, checksum};
use blockquant::{Codes, Isa, Quantizer, Spec};

use crate::common::{self, gaussian, in_repository, spec};

fn numbers(ids: &[i64], next: u64) -> Ids<'_> {
    let ids = Cow::Borrowed(ids);
    Ids::Numbers { ids, next }
}

fn texts(ids: &[&str]) -> Ids<'static> {
    let mut offsets = vec![0];
    let mut bytes = Vec::new();
    for id in ids {
        bytes.extend(id.bytes());
        offsets.push(bytes.len() as i64);
    }
    Ids::Texts {
        offsets: offsets.into(),
        bytes: bytes.into(),
    }
}

/// The golden files by name, with what they hold.
fn golden() -> Vec<(&'static str, Spec, Ids<'static>)> {
    let centered = Spec {
        center: Some((0..9).map(|i| 0.5 - i as f32).collect()),
        ..spec("rabitq", 9, 2.0)
    };
    vec![
        (
            "numbers",
            spec("blockquant", 13, 2.5),
            numbers(&[7, i64::MIN, i64::MAX - 1], 1 << 63),
        ),
        ("texts", centered, texts(&["", "ä 向量", "a\0\"b"])),
    ]
}

fn encode(spec: Spec, rows: usize) -> (Quantizer, Codes) {
    let quantizer = Quantizer::new(spec).unwrap();
    let dim = quantizer.spec().dim;
    let codes = common::encode(&quantizer, Isa::detect(), &gaussian(rows * dim, 5));
    (quantizer, codes)
}

fn bytes(quantizer: &Quantizer, codes: &Codes, ids: &Ids<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    file::write(&mut out, quantizer, codes.view(), Some(ids)).unwrap();
    out
}

#[test]
fn golden_files() {
    for (name, spec, ids) in golden() {
        let path = in_repository(&format!("tests/golden/index/{name}.safetensors"));
        let (quantizer, codes) = encode(spec, 3);
        if std::env::var_os("BLOCKQUANT_WRITE_GOLDEN").is_some() {
            file::save(&path, &quantizer, codes.view(), Some(&ids)).unwrap();
        }
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found, bytes(&quantizer, &codes, &ids), "{name}");
        for verify in [false, true] {
            let contents = Contents::new(&found, verify).unwrap();
            assert_eq!(contents.ids(), Some(ids.clone()), "{name}");
            assert_eq!(contents.codes(), codes, "{name}");
        }
        // What reads codes alone reads these files too.
        let (read, back) = file::load(&path, true).unwrap();
        assert_eq!((read.spec(), back), (quantizer.spec(), codes), "{name}");
    }
}

#[test]
fn tensors_start_at_multiples_of_their_numbers() {
    for rows in [0, 1, 2, 17] {
        let names: Vec<String> = (0..rows).map(|row| "x".repeat(row)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let counted: Vec<i64> = (0..rows as i64).rev().collect();
        for ids in [numbers(&counted, rows as u64), texts(&names)] {
            let (quantizer, codes) = encode(spec("eden", 11, 3.0), rows);
            let file = bytes(&quantizer, &codes, &ids);
            let contents = Contents::new(&file, true).unwrap();
            assert_eq!(contents.ids(), Some(ids));
            for tensor in &contents.tensors {
                let unit = match tensor.name {
                    "packed" => 64,
                    "ids" | "id_offsets" => 8,
                    "id_bytes" => 1,
                    _ => 4,
                };
                assert_eq!(tensor.bytes.start % unit, 0, "{}", tensor.name);
            }
        }
    }
}

#[test]
fn every_truncation_and_every_flip_is_refused() {
    for (_, spec, ids) in golden() {
        let (quantizer, codes) = encode(spec, 3);
        let file = bytes(&quantizer, &codes, &ids);
        for length in 0..file.len() {
            for verify in [false, true] {
                assert!(Contents::new(&file[..length], verify).is_err(), "{length}");
            }
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            for flip in [1, 2, 16, 128, 255] {
                damaged[at] = file[at] ^ flip;
                assert!(Contents::new(&damaged, true).is_err(), "{at} {flip}");
            }
        }
    }
}

/// The file with another byte of a tensor at this place, and checksums that fit.
fn forged(file: &[u8], tensor: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let tensors = Contents::new(file, true).unwrap().tensors;
    let range = tensors.iter().find(|found| found.name == tensor).unwrap();
    let range = range.bytes.clone();
    let before = format!("{:016x}", checksum(&file[range.clone()]));
    let mut forged = file.to_vec();
    forged[range.start + at..][..bytes.len()].copy_from_slice(bytes);
    let after = format!("{:016x}", checksum(&forged[range]));
    replace(&mut forged, before.as_bytes(), after.as_bytes());
    resealed(forged)
}

/// The file with the right checksum of its header.
fn resealed(mut file: Vec<u8>) -> Vec<u8> {
    let key = b"header_checksum\":\"";
    let at = file.windows(key.len()).position(|part| part == key);
    let at = at.unwrap() + key.len();
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    file[at..at + 16].fill(b'0');
    let sum = format!("{:016x}", checksum(&file[..8 + length]));
    file[at..at + 16].copy_from_slice(sum.as_bytes());
    file
}

fn replace(file: &mut [u8], old: &[u8], new: &[u8]) {
    let at = file.windows(old.len()).position(|part| part == old);
    file[at.unwrap()..][..new.len()].copy_from_slice(new);
}

#[test]
fn damage_behind_right_checksums_is_named() {
    let (quantizer, codes) = encode(spec("eden", 8, 2.0), 3);
    let counted = bytes(&quantizer, &codes, &numbers(&[1, 2, 3], 4));
    let named = bytes(&quantizer, &codes, &texts(&["ab", "cd", "é"]));
    let number = |row: usize, id: i64| forged(&counted, "ids", 8 * row, &id.to_le_bytes());
    let offset = |row: usize, to: i64| forged(&named, "id_offsets", 8 * row, &to.to_le_bytes());
    let text = |at, bytes| forged(&named, "id_bytes", at, bytes);
    for (file, says) in [
        (number(2, 1), "rows 0 and 2 have the same id 1"),
        (
            number(1, -1),
            "the id of row 1 is -1, which stands for no row",
        ),
        (
            number(1, 4),
            "the id of row 1 is 4, expected less than next_id, 4",
        ),
        (text(2, b"ab"), "rows 0 and 1 have the same id \"ab\""),
        (text(3, b"\xff"), "the id of row 1 is not UTF-8"),
        (offset(2, 5), "the id of row 1 is not UTF-8"),
    ] {
        let error = Contents::new(&file, true).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(Contents::new(&file, false).is_ok(), "{says}");
    }
    for (file, says) in [
        (offset(0, 1), "id_offsets: value 0 is 1, expected 0"),
        (
            offset(2, 1),
            "id_offsets: value 2 is 1, expected at least 2",
        ),
        (
            offset(1, -5),
            "id_offsets: value 1 is -5, expected at least 0",
        ),
        (
            offset(3, 5),
            "id_offsets: the last value is 5, expected 6, the end of id_bytes",
        ),
        (
            offset(3, i64::MAX),
            "the last value is 9223372036854775807, expected 6",
        ),
    ] {
        for verify in [false, true] {
            let error = Contents::new(&file, verify).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
    let header = |file: &[u8], old: &str, new: &str| {
        let mut file = file.to_vec();
        replace(&mut file, old.as_bytes(), new.as_bytes());
        Contents::new(&resealed(file), false)
            .unwrap_err()
            .to_string()
    };
    for (file, old, new, says) in [
        (
            &counted,
            "\"version\":\"2\"",
            "\"version\":\"1\"",
            "the file is too long",
        ),
        (
            &counted,
            "\"version\":\"2\"",
            "\"version\":\"3\"",
            "groups of 0 axes",
        ),
        (
            &counted,
            "\"version\":\"2\"",
            "\"version\":\"4\"",
            "version \"4\" of the format, this build reads \"1\" and \"2\" and \"3\"",
        ),
        (
            &counted,
            "\"ids\":\"int64\"",
            "\"ids\":\"int32\"",
            "ids is \"int32\" in the metadata, expected \"int64\" or \"utf-8\"",
        ),
        (
            &counted,
            "\"next_id\":\"4\"",
            "\"next_id\":\"x\"",
            "next_id is \"x\"",
        ),
        (
            &counted,
            "\"ids\":\"int64\"",
            "\"ids\":\"utf-8\"",
            "size of id_bytes",
        ),
        (&named, "\"shape\":[6]", "\"shape\":[7]", "truncated"),
        (&named, "\"shape\":[6]", "\"shape\":[x]", "JSON"),
        (&named, "\"I64\"", "\"U64\"", "byte "),
    ] {
        let error = header(file, old, new);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn ids_that_cannot_be_read_are_not_written() {
    let (quantizer, codes) = encode(spec("eden", 8, 2.0), 3);
    let refused = |ids: &Ids<'_>| {
        let mut out = Vec::new();
        let error = file::write(&mut out, &quantizer, codes.view(), Some(ids)).unwrap_err();
        assert!(out.is_empty());
        error.to_string()
    };
    let offsets = |offsets: &[i64]| Ids::Texts {
        offsets: offsets.to_vec().into(),
        bytes: vec![b'a'; 3].into(),
    };
    for (ids, says) in [
        (numbers(&[1, 2], 3), "ids has 2 values, expected 3"),
        (numbers(&[5, 9, 5], 10), "rows 0 and 2 have the same id 5"),
        (numbers(&[-1, 2, 3], 9), "the id of row 0 is -1"),
        (
            numbers(&[1, 2, 3], 3),
            "the id of row 2 is 3, expected less",
        ),
        (
            numbers(&[1, 2, 3], u64::MAX),
            "next_id is 18446744073709551615, expected at most 9223372036854775808",
        ),
        (
            texts(&["a", "b", "b"]),
            "rows 1 and 2 have the same id \"b\"",
        ),
        (texts(&["a"]), "id_offsets has 2 values, expected 4"),
        (offsets(&[0, 2, 1, 3]), "id_offsets: value 2 is 1"),
        (offsets(&[0, 1, 2, 4]), "the last value is 4, expected 3"),
    ] {
        let error = refused(&ids);
        assert!(error.contains(says), "{error}");
    }
}
