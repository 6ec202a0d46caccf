//! The threads: order, failures, calls beside each other, stopping; and who may use them.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use blockquant::threads::{self, Answer};
use blockquant::{Error, Quantizer, RotationKind, Spec};

/// The count of threads is the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn every_item_is_worked_on_once_and_in_its_place() {
    let _alone = alone();
    for count in [1, 2, 3, 8] {
        threads::set_num_threads(count).unwrap();
        assert_eq!(threads::num_threads(), count);
        for items in [0usize, 1, 2, 7, 1000] {
            let squares = threads::map((0..items).collect(), |place, item| {
                assert_eq!(place, item);
                // Shared again from within.
                threads::map(vec![item; 3], |place, item| item * place)
                    .iter()
                    .sum::<usize>()
            });
            assert_eq!(squares, (0..items).map(|item| 3 * item).collect::<Vec<_>>());
        }
    }
}

#[test]
fn one_thread_is_the_callers() {
    let _alone = alone();
    threads::set_num_threads(1).unwrap();
    let own = thread::current().id();
    let at = |_, _| thread::current().id();
    assert_eq!(threads::map(vec![(); 5], at), [own; 5]);
    assert_eq!(threads::run(|| thread::current().id()), own);
    threads::set_num_threads(2).unwrap();
    let others: HashSet<_> = threads::map(vec![(); 50], |_, ()| {
        pause(1);
        thread::current().id()
    })
    .into_iter()
    .collect();
    assert!(others.len() == 2 && !others.contains(&own), "{others:?}");
}

#[test]
fn the_first_failure_is_the_one_that_counts() {
    let _alone = alone();
    for count in [1, 2, 4] {
        threads::set_num_threads(count).unwrap();
        let done = AtomicUsize::new(0);
        let failed = threads::try_for_each(
            0..100_000,
            || (),
            |(), _, item| {
                done.fetch_add(1, Ordering::Relaxed);
                // The first one takes the longest.
                if item == 30 {
                    pause(20);
                }
                if item >= 30 { Err(item) } else { Ok(()) }
            },
        );
        assert_eq!(failed, Err(30));
        assert!(done.into_inner() < 1000, "the rest is left out");
    }
}

#[test]
fn a_panic_comes_back_and_does_no_harm() {
    let _alone = alone();
    for count in [1, 2] {
        threads::set_num_threads(count).unwrap();
        let work = |_, item: usize| assert!(item != 40, "item 40");
        let caught = catch_unwind(AssertUnwindSafe(|| threads::map((0..99).collect(), work)));
        let text = caught.unwrap_err();
        assert_eq!(*text.downcast_ref::<&str>().unwrap(), "item 40");
        assert_eq!(threads::map(vec![1, 2, 3], |_, item| item), [1, 2, 3]);
    }
}

#[test]
fn no_call_waits_for_the_end_of_another() {
    let _alone = alone();
    threads::set_num_threads(2).unwrap();
    let stop = AtomicBool::new(false);
    let slow = || {
        // Endless, a millisecond an item.
        let _ = threads::try_for_each(
            0..u32::MAX,
            || (),
            |(), _, _| {
                pause(1);
                if stop.load(Ordering::Relaxed) {
                    Err(())
                } else {
                    Ok(())
                }
            },
        );
    };
    thread::scope(|scope| {
        // More calls than threads.
        for _ in 0..3 {
            scope.spawn(slow);
        }
        pause(100);
        for _ in 0..20 {
            let start = Instant::now();
            assert_eq!(threads::map(vec![1; 20], |_, item| item), [1; 20]);
            assert!(start.elapsed() < Duration::from_secs(2));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// When [`ask`] says to stop.
static STOP_AT: Mutex<Option<Instant>> = Mutex::new(None);

fn ask() -> Answer {
    let at = STOP_AT.lock().unwrap().unwrap();
    if Instant::now() < at {
        Answer::Continue
    } else {
        Answer::Stop
    }
}

#[test]
fn a_call_stops_wherever_it_is() {
    let _alone = alone();
    let build = |method: &str, bits, block, rotation, dim| {
        Quantizer::new(Spec {
            method: method.into(),
            dim,
            bits,
            scale: None,
            block,
            rotation,
            seed: 0,
            store_norm: false,
            center: None,
        })
        .map(drop)
    };
    let pauses = || {
        threads::map(vec![(); 1_000_000], |_, ()| pause(1));
        Ok(())
    };
    let nested = || {
        threads::map(vec![(); 1000], |_, ()| {
            threads::map(vec![(); 1000], |_, ()| pause(1));
        });
        Ok(())
    };
    // 65,536 words of 64 numbers: each chunk of samples takes seconds.
    let words = || build("blockquant", 0.25, Some(64), RotationKind::Hadamard, 384);
    let haar = || build("eden", 2.0, None, RotationKind::Haar, 4096);
    let works: [&(dyn Fn() -> blockquant::Result<()> + Sync); 4] =
        [&pauses, &nested, &words, &haar];
    for count in [1, 2] {
        threads::set_num_threads(count).unwrap();
        for (place, work) in works.iter().enumerate() {
            let at = Instant::now() + Duration::from_millis(150);
            *STOP_AT.lock().unwrap() = Some(at);
            assert_eq!(threads::interruptible(ask, work), Err(Error::Interrupted));
            let late = at.elapsed();
            assert!(late < Duration::from_secs(1), "{place}: {late:?}");
        }
    }
    assert_eq!(threads::interruptible(ask, || Ok(5)), Ok(5));
    let own = Error::invalid("its own");
    assert_eq!(
        threads::interruptible(ask, || Err::<(), _>(own.clone())),
        Err(own)
    );
}

#[test]
fn who_ignores_is_asked_once() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    fn ignores() -> Answer {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Answer::Ignore
    }
    let _alone = alone();
    threads::set_num_threads(1).unwrap();
    let work = || {
        threads::map(vec![(); 200], |_, ()| pause(1));
        Ok(())
    };
    assert_eq!(threads::interruptible(ignores, work), Ok(()));
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
}

/// A forked child has none of the threads of other pools, and nobody frees a lock that one of
/// them held: so only `threads` may start threads or keep state behind a lock.
#[test]
fn nothing_else_starts_threads_or_keeps_locks() {
    const WORDS: [&str; 8] = [
        "rayon",
        "std::thread",
        "OnceLock",
        "LazyLock",
        "RwLock",
        "Mutex",
        "Condvar",
        "thread::spawn",
    ];
    // Within one call, so that no fork comes between.
    const ALLOWED: [(&str, &str); 2] = [
        ("scan/filter.rs", "OnceLock"),
        ("scan/search.rs", "OnceLock"),
    ];
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            if path.is_dir() && name != "threads" {
                walk(&path, root, found);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                let used = WORDS.iter().filter(|word| text.contains(**word));
                let bad = used.filter(|word| !ALLOWED.contains(&(&*name, **word)));
                found.extend(bad.map(|word| format!("{name}: {word}")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.is_empty(), "{found:?}");
}
