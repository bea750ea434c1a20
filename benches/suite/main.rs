//! What kart costs, against floors and peers measured in the same run.
//!
//! `cargo bench --bench suite` takes every figure; `-- fan-in shapes` those of some sections, `--sizes 1000,10000`
//! at other sizes, `--quick` small ones, to see that all of it works. Tables go to the screen, all figures to
//! `target/bench.json`. A figure is taken in a process of its own.

#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

mod bytes;
mod fan_in;
mod files;
mod instructions;
mod measure;
mod outputs;
mod shapes;
mod slow;

use std::env;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use measure::Figures;

/// How large and how often.
struct Scale {
    sizes: Vec<u64>,
    rounds: usize,
    is_quick: bool,
}

type Section = fn(&Scale, &mut Figures);

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [section, case, count, dir, "child"] = args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        let (count, dir) = (count.parse().expect("a count"), Path::new(dir));
        let child = match *section {
            "fan-in" => fan_in::child,
            "shapes" => shapes::child,
            "slow" => slow::child,
            "bytes" => bytes::child,
            "files" => files::child,
            "outputs" => outputs::child,
            "instructions" => instructions::child,
            _ => panic!("no section `{section}`"),
        };
        measure::report(|| child(case, count, dir));
        return;
    }
    let is_quick = args.iter().any(|arg| arg == "--quick");
    let sizes = args.iter().position(|arg| arg == "--sizes");
    let sizes = sizes.and_then(|at| args.get(at + 1)).map_or_else(
        || {
            let all = [1_000, 10_000, 100_000, 1_000_000];
            all[..if is_quick { 1 } else { 4 }].to_vec()
        },
        |sizes| {
            let sizes = sizes.split(',').map(|size| size.parse().expect("a size"));
            sizes.collect()
        },
    );
    let scale = Scale {
        sizes,
        rounds: if is_quick { 1 } else { 5 },
        is_quick,
    };
    let named = |name: &str| args.iter().any(|arg| arg == name);
    let sections: [(&str, Section); 6] = [
        ("fan-in", fan_in::run),
        ("outputs", outputs::run),
        ("shapes", shapes::run),
        ("slow", slow::run),
        ("bytes", bytes::run),
        ("files", files::run),
    ];
    let all = !sections.iter().any(|(name, _)| named(name));
    let mut figures = Figures::default();
    for (name, run) in sections {
        if all || named(name) {
            run(&scale, &mut figures);
        }
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.json");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    figures.save(&target, now.map_or(0, |now| now.as_secs()));
    eprintln!("{} figures in target/bench.json", figures.len());
}
