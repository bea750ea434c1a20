//! What leases cost, in requests.

use kart::{Coordination, Workspace};

use crate::common::{Log, memory, since};
use crate::{Sum, runner};

#[tokio::test(start_paused = true)]
async fn an_exclusive_run_costs_five_requests_more_than_one_that_claims_nothing() {
    let log = Log::default();
    let cost = async |coordination| {
        let workspace = memory();
        let before = workspace.requests();
        let runner = runner(&workspace, &log).coordination(coordination);
        runner.run(Sum).await.unwrap();
        since(before, &workspace)
    };
    let nothing = cost(Coordination::None).await;
    let exclusive = cost(Coordination::Exclusive).await;
    let more: u64 = exclusive.iter().sum::<u64>() - nothing.iter().sum::<u64>();
    assert_eq!(more, 5, "{nothing:?} {exclusive:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shared_run_alone_costs_three_requests_more_for_each_task_that_runs() {
    let log = Log::default();
    let workspace = memory();
    let cost = async |workspace: &Workspace, coordination| {
        let before = workspace.requests();
        let runner = runner(workspace, &log).coordination(coordination);
        runner.run(Sum).await.unwrap();
        since(before, workspace).iter().sum::<u64>()
    };
    let nothing = cost(&memory(), Coordination::None).await;
    let shared = cost(&workspace, Coordination::Shared).await;
    // And two for its liveness, two to sweep.
    assert_eq!(shared - nothing, 41 * 3 + 4);
    assert_eq!(cost(&workspace, Coordination::Shared).await, 2);
}
