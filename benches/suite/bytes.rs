//! Values of some sizes, encoded, stored and read: against the bare encoder and a plain file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kart::format::{Format, Json, MessagePack, Raw};
use kart::{Artifact, Runner, TaskExt as _, Workspace, task};
use serde::{Deserialize, Serialize};

use super::Scale;
use super::measure::{Figures, measure, median, timed};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    name: String,
    score: f64,
    count: u64,
}

/// About as many bytes as JSON.
fn rows(bytes: u64) -> Vec<Row> {
    let row = |n: u64| Row {
        name: format!("row number {n:08}"),
        score: n as f64 / 7.0,
        count: n,
    };
    (0..bytes.div_ceil(70)).map(row).collect()
}

fn raw(bytes: u64) -> Vec<u8> {
    let mut x = 1_u64;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        x >> 32
    };
    (0..bytes).map(|_| (next() & 0xff) as u8).collect()
}

macro_rules! formats {
    ($($(#[$cfg:meta])? $module:ident, $name:literal, $value:ty, $make:ident, $format:ty, $path:literal;)+) => {
        $($(#[$cfg])? mod $module {
            use super::*;

            #[task(path = $path, format = $format)]
            fn value(bytes: u64) -> kart::Result<$value> {
                Ok($make(bytes))
            }

            /// Reads it back from the store.
            #[task]
            async fn read(
                bytes: u64,
                #[requires(Value { bytes })] value: Artifact<$value>,
            ) -> kart::Result<usize> {
                Ok(value.load().await?.len())
            }

            pub(super) fn kart(bytes: u64, dir: &Path) -> Duration {
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                let workspace = Workspace::open(dir).expect("a workspace");
                let made = timed(|| drop($make(bytes)));
                let all = timed(|| {
                    let runner = Runner::new(&workspace).memory_budget(0);
                    runtime.block_on(runner.run(Read { bytes })).expect("a complete run");
                });
                runtime.block_on(Read { bytes }.remove(&workspace)).expect("removed");
                all.saturating_sub(made)
            }

            pub(super) fn bare(bytes: u64, dir: &Path) -> Duration {
                let value = $make(bytes);
                let file = dir.join("bare");
                timed(|| {
                    let encoded = <$format as Format<$value>>::encode(&value).expect("encoded");
                    fs::write(&file, &encoded).expect("written");
                    let read = fs::read(&file).expect("read");
                    let decoded: $value = <$format as Format<$value>>::decode(read.into()).expect("decoded");
                    std::hint::black_box(decoded.len());
                })
            }
        })+

        const NAMES: &[&str] = &[$($(#[$cfg])? $name),+];

        fn of(name: &str) -> (fn(u64, &Path) -> Duration, fn(u64, &Path) -> Duration) {
            match name {
                $($(#[$cfg])? $name => ($module::kart, $module::bare),)+
                _ => panic!("no format `{name}`"),
            }
        }
    };
}

formats! {
    json, "JSON", Vec<Row>, rows, Json, "{key}.json";
    msgpack, "MessagePack", Vec<Row>, rows, MessagePack, "{key}.msgpack";
    #[cfg(feature = "parquet")]
    parquet, "Parquet", Vec<Row>, rows, kart::format::Parquet, "{key}.parquet";
    plain, "raw", Vec<u8>, raw, Raw, "{key}.bin";
}

pub(crate) fn child(case: &str, count: u64, dir: &Path) -> (Duration, f64) {
    let (who, format) = case.split_once(' ').expect("who and which format");
    let (kart, bare) = of(format);
    let elapsed = match who {
        "kart" => kart(count, dir),
        "bare" => bare(count, dir),
        _ => {
            let (from, to) = (dir.join("from"), dir.join("to"));
            fs::write(&from, raw(count)).expect("written");
            timed(|| fs::copy(&from, &to).expect("copied"))
        }
    };
    (elapsed, 0.0)
}

pub(crate) fn run(scale: &Scale, figures: &mut Figures) {
    let sizes: &[(u64, &str)] = if scale.is_quick {
        &[(1 << 10, "1 KiB")]
    } else {
        &[
            (1 << 10, "1 KiB"),
            (1 << 20, "1 MiB"),
            (256 << 20, "256 MiB"),
        ]
    };
    println!(
        "\n| written and read back | size | ms | bare encoder and file, ms | × | `cp` alone, ms | peak MiB | bare, peak MiB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for &(size, shown) in sizes {
        for &name in NAMES {
            let take = |who: &str| {
                let rounds = (0..scale.rounds.min(3)).map(|_| {
                    let dir = tempfile::tempdir().expect("a directory");
                    measure("bytes", &format!("{who} {name}"), size, dir.path())
                });
                let rounds: Vec<_> = rounds.collect();
                let millis = rounds.iter().map(|round| round.elapsed.as_secs_f64() * 1e3);
                let mib = rounds.iter().map(|round| round.kib / 1024.0);
                (median(millis.collect()), median(mib.collect()))
            };
            let (kart, bare, copy) = (take("kart"), take("bare"), take("cp"));
            println!(
                "| {name} | {shown} | {:.1} | {:.1} | {:.2} | {:.1} | {:.0} | {:.0} |",
                kart.0,
                bare.0,
                kart.0 / bare.0,
                copy.0,
                kart.1,
                bare.1,
            );
            figures.add("bytes", format!("kart {name}"), size, kart.0, "ms");
            figures.add("bytes", format!("bare {name}"), size, bare.0, "ms");
        }
    }
}
