//! One thread and nothing that waits, for counting instructions: see `benches/instructions`.

use std::path::Path;
use std::time::Duration;

use kart::{Coordination, Runner, TaskExt as _, Workspace};

use super::fan_in::Count;
use super::measure::timed;

pub(crate) fn child(case: &str, count: u64, _: &Path) -> (Duration, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let workspace = Workspace::open("memory://").expect("a workspace");
    let runner = Runner::new(&workspace)
        .workers(2)
        .run_log(false)
        .coordination(Coordination::None);
    let elapsed = timed(|| match case {
        "keys" => drop(Count { count }.key()),
        "plan" => drop(
            runtime
                .block_on(runner.plan(Count { count }))
                .expect("a plan"),
        ),
        "run" => drop(
            runtime
                .block_on(runner.run(Count { count }))
                .expect("a complete run"),
        ),
        _ => panic!("no case `{case}`"),
    });
    (elapsed, 0.0)
}
