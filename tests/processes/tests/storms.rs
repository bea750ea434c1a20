//! Storms of kills in a short form, and that what watches over them sees what goes wrong.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use kart::TaskExt as _;
use processes::dag::Quick;
use processes::storm::{Expected, Storm, Tally, expected_dag, expected_long, long_batch, repeated};

fn dag(seed: u64, nodes: u32) -> impl Fn() -> Command {
    move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dag"));
        command.args(["--seed", &seed.to_string(), "--nodes", &nodes.to_string()]);
        command
    }
}

fn storm(
    root: &str,
    seed: u64,
    program: &dyn Fn() -> Command,
    expected: &Expected,
    longest: u64,
) -> Tally {
    let directory = tempfile::tempdir().unwrap();
    let storm = Storm {
        seed,
        program,
        workspace: directory.path().to_str().unwrap(),
        root,
        expected,
        longest: Duration::from_millis(longest),
    };
    let tally = storm.run().unwrap();
    println!("seed {seed}: {tally}");
    tally
}

#[test]
fn a_graph_that_is_killed_at_random_moments_is_whole_in_the_end_and_nothing_ran_in_vain() {
    let mut total = Tally::default();
    for seed in 1..=3 {
        total += storm(
            "Dag",
            seed,
            &dag(seed, 500),
            &expected_dag(seed, 500).unwrap(),
            150,
        );
    }
    assert!(total.is_clean(), "{total}");
    assert!(total.kills > 0 && total.starts >= 1_500, "{total}");
}

#[test]
fn the_long_batch_survives_a_storm_of_kills() {
    let program = long_batch().unwrap();
    let long = || {
        let mut command = Command::new(&program);
        command.args(["--wait-ms", "20"]);
        command
    };
    let tally = storm("Agg", 1, &long, &expected_long(), 200);
    assert!(tally.is_clean() && tally.kills > 0, "{tally}");
    assert!(tally.starts >= 20, "{tally}");
}

#[test]
fn what_goes_wrong_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let expected = expected_dag(9, 40).unwrap();
    let program = dag(9, 40);
    let storm = Storm {
        seed: 9,
        program: &program,
        workspace: directory.path().to_str().unwrap(),
        root: "Dag",
        expected: &expected,
        longest: Duration::from_millis(100),
    };
    assert!(storm.run().unwrap().is_clean());
    // The output of a node that others required, and that nobody makes again.
    let output = directory.path().join(Quick { seed: 9, node: 3 }.path());
    fs::write(&output, "1").unwrap();
    assert_eq!(storm.run().unwrap().corrupt, 1);
    fs::remove_file(&output).unwrap();
    assert_eq!(storm.run().unwrap().lost, 1);
    let litter = directory.path().join("_kart/claims/0123/1");
    fs::create_dir_all(litter.parent().unwrap()).unwrap();
    fs::write(litter, "{}").unwrap();
    assert_eq!(storm.run().unwrap().litter, 1);
    let complete = BTreeSet::from(["1".to_owned(), "2".to_owned()]);
    assert_eq!(repeated(&["0", "1", "2", "2"], &complete), 3);
}
