//! Storms of kills, as many as asked for, with their tally: see `tests/kill-storm`.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use processes::storm::{Expected, Storm, Tally, expected_dag, expected_long, long_batch};

const HELP: &str = "kill_storm [--seed S] [--count N] [--batch dag|long] [--nodes N] [--workspace URL]
Kills a batch with SIGKILL at random moments and starts it again until it is done, N times over; the workspace is a
fresh directory unless one is named, below which each storm has its own.";

/// About what a run of the graph takes: to begin, and for each node.
const DAG_STARTS: Duration = Duration::from_millis(20);
const DAG_NODE: Duration = Duration::from_micros(250);

fn main() -> anyhow::Result<ExitCode> {
    let (mut seed, mut count, mut nodes) = (1_u64, 10_u64, 2_000_u32);
    let (mut batch, mut workspace) = ("dag".to_owned(), None);
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{HELP}\n\n{option} has no value"));
        match option.as_str() {
            "--seed" => seed = value?.parse()?,
            "--count" => count = value?.parse()?,
            "--nodes" => nodes = value?.parse()?,
            "--batch" => batch = value?,
            "--workspace" => workspace = Some(value?),
            _ => bail!("{HELP}"),
        }
    }
    let here = std::env::current_exe()?;
    let dag = here.with_file_name(format!("dag{}", std::env::consts::EXE_SUFFIX));
    let long = if batch == "long" {
        Some(long_batch()?)
    } else {
        None
    };
    let mut total = Tally::default();
    for seed in seed..seed + count {
        let directory = tempfile::tempdir()?;
        let place = match &workspace {
            Some(workspace) => format!("{workspace}/storm-{}-{seed}", std::process::id()),
            None => directory.path().to_string_lossy().into_owned(),
        };
        let (expected, program): (Expected, Box<dyn Fn() -> Command>) = match &long {
            Some(long) => (
                expected_long(),
                Box::new(move || {
                    let mut command = Command::new(long);
                    command.args(["--wait-ms", "30", "--ttl", "1s", "--wait", "1m"]);
                    command
                }),
            ),
            None => (
                expected_dag(seed, nodes)?,
                Box::new(|| {
                    let mut command = Command::new(&dag);
                    command.args(["--seed", &seed.to_string(), "--nodes", &nodes.to_string()]);
                    command.args(["--ttl", "1s", "--wait", "1m"]);
                    command
                }),
            ),
        };
        let storm = Storm {
            seed,
            program: &*program,
            workspace: &place,
            root: if long.is_some() { "Agg" } else { "Dag" },
            expected: &expected,
            longest: if long.is_some() {
                Duration::from_millis(400)
            } else {
                DAG_STARTS + nodes * DAG_NODE
            },
        };
        let tally = storm.run()?;
        println!("seed {seed}: {tally}");
        total += tally;
    }
    println!("{count} storms: {total}");
    ensure!(total.kills > 0, "every run was over before it was killed");
    Ok(if total.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
