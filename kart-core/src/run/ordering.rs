//! An attempt that is made elsewhere: the order, and what its answer means here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempted, End, Shop, Work, caught};
use super::cause::Cause;
use super::executor::{Answer, Executor, Order};
use super::publish::Published;
use crate::error::{BoxError, interrupted, permanent};
use crate::model::AnyTask;
use crate::registry;

impl Shop {
    pub(super) async fn order(&self, executor: &dyn Executor, work: Work) -> Attempted {
        let started = Instant::now();
        let ordering = async { executor.attempt(self.ordered(work)?).await };
        let answer = caught(ordering).await;
        let (end, elapsed) = match answer {
            Ok(answer) => end(answer),
            Err(error) => (End::Failed(error), None),
        };
        Attempted {
            node: work.node,
            number: work.number,
            elapsed: elapsed.unwrap_or_else(|| started.elapsed()),
            end,
        }
    }

    fn ordered(&self, work: Work) -> Result<Order, BoxError> {
        let node = self.graph.node(work.node);
        let spec = node.task.spec();
        let task = AnyTask::new(Arc::clone(&node.task)).to_json();
        Ok(Order {
            task: task.map_err(permanent)?,
            key: node.key,
            path: node.path()?,
            workspace: self.workspace.location().to_owned(),
            attempt: work.number,
            replaces: work.need.replaces(),
            timeout: spec.timeout,
            code: spec.code.to_owned(),
            build: registry::fingerprint().to_owned(),
        })
    }
}

/// How the attempt ended, and how long it took where it was made.
fn end(answer: Answer) -> (End, Option<Duration>) {
    match answer {
        Answer::Published {
            bytes,
            hash,
            differed,
            elapsed,
            worker,
        } => {
            let hash = hash.and_then(|hash| blake3::Hash::from_hex(hash).ok());
            let published = Published {
                output: None,
                bytes,
                hash,
                differed,
                worker: Some(worker.into()),
            };
            (End::Published(published), Some(elapsed))
        }
        Answer::Made => (End::Made, None),
        Answer::Failed {
            causes,
            is_permanent,
            elapsed,
        } => {
            let error = Cause::of(causes).into_error(is_permanent);
            (End::Failed(error), Some(elapsed))
        }
        Answer::Interrupted => (End::Failed(interrupted().into()), None),
    }
}
