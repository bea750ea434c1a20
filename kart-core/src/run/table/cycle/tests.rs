//! What a search costs.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Side;
use crate::model::NodeId;
use crate::plan::{ExpandLimits, Graph, GraphExtender};
use crate::run::output_cache::{OutputCache, OutputRef};
use crate::run::subtask_waits::Waiter;
use crate::run::table::{State, TaskTable};
use crate::simulation::facade::{AnyTask, BoxError, task};

#[task(crate = crate::simulation::facade)]
async fn link(n: u32) -> Result<u32, BoxError> {
    Ok(n)
}

/// How many tasks are looked at while each body in a chain asks for the next.
fn looks(length: u32) -> usize {
    let limits = ExpandLimits::default();
    let link = |n| AnyTask::from(Link { n }).into_dyn();
    let graph = Arc::new(Graph::expand(vec![link(0)], &limits).unwrap());
    let mut table = TaskTable::new(&graph);
    let mut extender = GraphExtender::of(&graph).unwrap();
    let outputs = Arc::new(OutputCache::new(0));
    let mut by = NodeId(0);
    let mut looks = 0;
    for n in 1..=length {
        let target = extender.add(&graph, link(n), &limits).unwrap();
        table.grow();
        let (mut down, mut up) = (Side::new(target), Side::new(by));
        assert_eq!(table.meeting(&mut down, &mut up), None);
        looks += down.came_from.len() + up.came_from.len();
        table.set(by, State::Suspended);
        let waiter = Waiter {
            id: u64::from(n),
            by,
            reply: oneshot::channel().0,
            output: OutputRef::new(&outputs, target),
        };
        table.wait(target, waiter);
        table.set(target, State::Running);
        by = target;
    }
    looks
}

#[test]
fn each_body_of_a_chain_asks_at_the_same_cost() {
    for length in [10, 100, 1000] {
        assert!(looks(length) <= 3 * length as usize);
    }
}
