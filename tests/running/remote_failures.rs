//! Attempts in other processes that end for the store's sake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kart::{AttemptFuture, AttemptRequest, Executor, Interruption, Outcome, Runner, Worker, task};

use crate::common::{Faulty, interrupted, unless_stuck};

/// A worker that finds its store gone.
#[derive(Debug)]
struct WithoutStore {
    worker: Worker,
    is_gone: Arc<AtomicBool>,
}

impl Executor for WithoutStore {
    fn attempt(&self, request: AttemptRequest) -> AttemptFuture<'_> {
        Box::pin(async move {
            self.is_gone.store(true, Ordering::SeqCst);
            let response = self.worker.attempt(&request).await;
            self.is_gone.store(false, Ordering::SeqCst);
            Ok(response)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_store_fails_interrupts_the_task_and_fails_nothing() {
    #[task]
    async fn plain() -> kart::Result<u32> {
        Ok(1)
    }
    let is_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    let workspace = Faulty::workspace(move |operation, path| {
        operation == "get" && !path.starts_with("_kart/") && gone.load(Ordering::SeqCst)
    });
    let worker = Worker::new(Runner::new(&workspace));
    let runner = Runner::new(&workspace).executor(WithoutStore { worker, is_gone });
    let report = interrupted(unless_stuck(runner.run(Plain)).await);
    match report.outcome(&Plain) {
        Some(Outcome::Interrupted(Interruption::Unavailable(error))) => {
            assert!(error.contains("today"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
