//! A fuzzer for the reader of files. For any bytes the reader returns an error or exactly what was
//! written, and it never panics.
//!
//! Inputs are the files of `tests/fuzz_corpus` and `tests/golden` with random damage: to any bytes,
//! or to words of the header. Lengths and checksums are then often corrected, so that the checks
//! behind them are reached. The corpus has one small input for each error text.
//!
//! ```sh
//! # 3 seconds by default
//! BLOCKQUANT_FUZZ_SECONDS=600 cargo test --release --test all fuzz:: -- --nocapture
//! # adds inputs for new error texts
//! BLOCKQUANT_WRITE_CORPUS=1 cargo test --release --test all fuzz::
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blockquant::file::{self, Contents, checksum};
use blockquant::rng::SeedStream;
use blockquant::{Isa, Spec};

use crate::common::in_repository;

const CHECKSUM: &str = "header_checksum\":\"";

/// A source of random choices.
struct Dice(SeedStream);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// The text of the header and the bytes of the tensors, if the length of the header fits.
fn split(file: &[u8]) -> Option<(String, Vec<u8>)> {
    let length = usize::try_from(u64::from_le_bytes(*file.first_chunk()?)).ok()?;
    let header = file.get(8..8usize.checked_add(length)?)?;
    let text = String::from_utf8(header.to_vec()).ok()?;
    Some((text, file[8 + length..].to_vec()))
}

/// The file with this header and these tensors. The checksum of the header is corrected.
fn join(text: &str, tensors: &[u8]) -> Vec<u8> {
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text.bytes());
    if let Some(at) = text.find(CHECKSUM).map(|at| 8 + at + CHECKSUM.len())
        && let Some(digits) = file.get_mut(at..at + 16)
    {
        digits.fill(b'0');
        let sum = format!("{:016x}", checksum(&file));
        file[at..at + 16].copy_from_slice(sum.as_bytes());
    }
    file.extend(tensors);
    file
}

/// The words of a header: each number, each name and each other character.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in text.chars() {
        let is_word = character.is_alphanumeric() || "_./-+".contains(character);
        match words.last_mut() {
            Some(last) if is_word && last.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                last.push(character);
            }
            _ => words.push(character.into()),
        }
    }
    words
}

/// What can replace a word, besides white space.
const NEW_WORDS: &str = r#"
    0 1 2 3 4 5 7 8 9 12 13 16 17 32 64 128 255 256 32768 32769 65536 16777216 16777217
    2147483648 4294967295 4294967296 9223372036854775807 9223372036854775808
    18446744073709551615 18446744073709551616 1e3 1e308 -1 -0 2.5 0.0 NaN inf 3.0 +3 03 null
    true false [] {} "" \u0000 \ " , : [ ] { } U8 F32 F64 BF16 packed scale norm residual_norm
    center dtype shape data_offsets __metadata__ format version header_checksum digest method
    dim bits block rotation seed store_norm blockquant eden rabitq turboquant/mse
    turboquant/prod haar hadamard none mse unbiased ffffffffffffffff é
    ids id_offsets id_bytes next_id int64 utf-8 I64
"#;

fn new_word(dice: &mut Dice) -> &'static str {
    let words: Vec<_> = NEW_WORDS.split_whitespace().chain([" ", "\n"]).collect();
    dice.pick(&words)
}

fn damage_bytes(file: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(file.len() + 1);
    let to = (at + 1 + dice.below(16)).min(file.len());
    let byte = dice.below(256) as u8;
    match dice.below(7) {
        0 | 1 if at < file.len() => file[at] ^= 1 << dice.below(8),
        2 if at < file.len() => file[at] = byte,
        3 => file.truncate(at),
        4 => file.insert(at, byte),
        5 if at < to => drop(file.drain(at..to)),
        6 => {
            let from = dice.below(other.len() + 1);
            file.truncate(at);
            file.extend(&other[from..]);
        }
        _ => file.push(byte),
    }
}

fn damage_words(text: &str, dice: &mut Dice) -> String {
    let mut words = words(text);
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(words.len());
        let to = (at + 1 + dice.below(12)).min(words.len());
        match dice.below(6) {
            0..=2 => {
                let new = new_word(dice);
                // A name mostly replaces a name, so that the header is still JSON.
                let is_name = |word: &str| word.starts_with(char::is_alphanumeric);
                if is_name(new) == is_name(&words[at]) || dice.one_in(8) {
                    words[at] = new.into();
                }
            }
            3 => drop(words.drain(at..to)),
            4 => {
                let copy = words[at..to].to_vec();
                let place = dice.below(words.len() + 1);
                words.splice(place..place, copy);
            }
            _ => words.swap(at, dice.below(text.len()) % to.max(1)),
        }
        if words.is_empty() {
            break;
        }
    }
    words.concat()
}

/// Replaces the value of one key of the metadata by one that could be valid there.
fn damage_value(text: &str, dice: &mut Dice) -> Option<String> {
    let key = dice.pick(&[
        "method", "dim", "bits", "scale", "block", "rotation", "seed", "ids", "next_id", "version",
    ]);
    let from = text.find(&format!("\"{key}\":\""))? + key.len() + 4;
    let to = from + text[from..].find('"')?;
    Some(format!(
        "{}{}{}",
        &text[..from],
        new_word(dice),
        &text[to..]
    ))
}

/// Corrects the checksums of the tensors, if the header is valid otherwise.
fn fix_checksums(file: Vec<u8>) -> Vec<u8> {
    let Some((mut text, tensors)) = split(&file) else {
        return file;
    };
    let start = file.len() - tensors.len();
    let Ok(contents) = Contents::new(&file, false) else {
        return file;
    };
    for tensor in contents.tensors {
        let bytes = &tensors[tensor.bytes.start - start..tensor.bytes.end - start];
        let key = format!("\"{}_checksum\":\"", tensor.name);
        if let Some(at) = text.find(&key).map(|at| at + key.len()) {
            text.replace_range(at..at + 16, &format!("{:016x}", checksum(bytes)));
        }
    }
    join(&text, &tensors)
}

fn damaged(inputs: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut file = inputs[dice.below(inputs.len())].clone();
    if dice.one_in(3) {
        for _ in 0..1 + dice.below(3) {
            let other = dice.below(inputs.len());
            damage_bytes(&mut file, &inputs[other], dice);
        }
        return if dice.one_in(2) {
            fix_checksums(file)
        } else {
            file
        };
    }
    let Some((text, mut tensors)) = split(&file) else {
        return file;
    };
    let text = match (!dice.one_in(3))
        .then(|| damage_value(&text, dice))
        .flatten()
    {
        Some(text) => text,
        None => damage_words(&text, dice),
    };
    if dice.one_in(3) {
        damage_bytes(&mut tensors, &[0; 64], dice);
    }
    fix_checksums(join(&text, &tensors))
}

/// Whether the quantizer is built quickly.
fn is_cheap(spec: &Spec) -> bool {
    let layout = spec.shape().unwrap().0.layout;
    spec.dim <= 256 && layout.fields().iter().all(|field| field.width <= 8)
}

/// Reads a file with and without verification. Returns the error, or `None` for a file that is
/// exactly what the library writes.
fn try_read(bytes: &[u8]) -> Option<String> {
    let unverified = Contents::new(bytes, false);
    if let Ok(contents) = &unverified {
        let mut end = contents.tensors[0].bytes.start;
        for tensor in &contents.tensors {
            assert_eq!(tensor.bytes.start, end);
            end = tensor.bytes.end;
        }
        assert_eq!(end, bytes.len());
    }
    let contents = match Contents::new(bytes, true) {
        Ok(contents) => contents,
        Err(error) => return Some(error.to_string()),
    };
    assert!(unverified.is_ok());
    if !is_cheap(&contents.spec) {
        return None;
    }
    let quantizer = match contents.quantizer() {
        Ok(quantizer) => quantizer,
        Err(error) => return Some(error.to_string()),
    };
    let codes = contents.codes();
    let mut back = vec![0.0; codes.len() * contents.spec.dim];
    quantizer
        .decode_into(Isa::detect(), codes.view(), &mut back)
        .unwrap();
    let mut again = Vec::new();
    file::write(
        &mut again,
        &quantizer,
        codes.view(),
        contents.ids().as_ref(),
    )
    .unwrap();
    assert_eq!(again, bytes, "another file is read as this one");
    None
}

/// An error text without what it quotes and without words with digits, which differ between files.
fn kind(error: &str) -> String {
    let plain = error.split('`').next().unwrap_or_default();
    let plain: String = plain.split('"').step_by(2).collect();
    let is_common = |word: &&str| {
        let is_checksum = word.len() >= 16 && word.bytes().take(16).all(|b| b.is_ascii_hexdigit());
        !is_checksum && !word.bytes().any(|byte| byte.is_ascii_digit())
    };
    let words: Vec<_> = plain
        .split_whitespace()
        .filter(is_common)
        .take(12)
        .collect();
    words.join(" ")
}

fn files(name: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(in_repository(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn golden() -> Vec<Vec<u8>> {
    [files("tests/golden"), files("tests/golden/index")].concat()
}

#[test]
fn the_corpus_is_refused() {
    let corpus = files("tests/fuzz_corpus");
    assert!(corpus.len() >= 20, "{} files", corpus.len());
    for file in corpus {
        assert!(try_read(&file).is_some());
    }
    for file in golden() {
        assert_eq!(try_read(&file), None);
    }
}

#[test]
fn fuzz() {
    let seconds = std::env::var("BLOCKQUANT_FUZZ_SECONDS").map_or(3, |s| s.parse().unwrap());
    let write = std::env::var_os("BLOCKQUANT_WRITE_CORPUS").is_some();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed =
        std::env::var("BLOCKQUANT_FUZZ_SEED").map_or(now.as_nanos() as u64, |s| s.parse().unwrap());
    println!("BLOCKQUANT_FUZZ_SEED={seed}");
    let inputs = [golden(), files("tests/fuzz_corpus")].concat();
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for input in &inputs {
        if let Some(error) = try_read(input) {
            known.insert(kind(&error), 0);
        }
    }
    let before = known.len();
    let (start, mut count, mut read) = (Instant::now(), 0u64, 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut dice = Dice(SeedStream::new(seed, count));
        let bytes = damaged(&inputs, &mut dice);
        match catch_unwind(AssertUnwindSafe(|| try_read(&bytes))) {
            Ok(None) => read += 1,
            Ok(Some(error)) => {
                let times = known.entry(kind(&error)).or_insert(0);
                *times += 1;
                if write && *times == 1 {
                    let name = format!("{:016x}.safetensors", checksum(kind(&error).as_bytes()));
                    std::fs::write(in_repository("tests/fuzz_corpus").join(name), &bytes).unwrap();
                }
            }
            Err(_) => {
                let path = std::env::temp_dir().join("blockquant-fuzz.safetensors");
                std::fs::write(&path, &bytes).unwrap();
                panic!(
                    "input {count} of BLOCKQUANT_FUZZ_SEED={seed}, kept in {}",
                    path.display()
                );
            }
        }
        count += 1;
    }
    for (kind, times) in &known {
        println!("{times:10} {kind}");
    }
    println!(
        "{count} inputs, {read} read, {} error texts, {before} of them in the corpus",
        known.len()
    );
}
