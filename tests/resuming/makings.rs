//! Saved state belongs to the making of one output.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use kart::{Context, Runner, Workspace, task};
use object_store::memory::InMemory;
use tokio::sync::Notify;

use crate::common::{Hooked, Log};
use crate::saved;

/// Draws another number each time that its step is done, and fails after it as often as there are flaws.
#[task]
async fn drawn(
    #[context] cx: &Context,
    #[resource] log: &Log,
    #[resource] flaws: &Arc<AtomicUsize>,
) -> anyhow::Result<usize> {
    let drawing = async {
        log.note("draw");
        anyhow::Ok(log.all().len())
    };
    let number = cx.step("draw", drawing).await?;
    let flaw = flaws.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    anyhow::ensure!(flaw.is_err(), "a flaw");
    Ok(number)
}

/// A place whose runs draw numbers.
#[derive(Default)]
struct Place {
    store: Arc<InMemory>,
    log: Log,
    flaws: Arc<AtomicUsize>,
}

impl Place {
    fn workspace(&self) -> Workspace {
        Workspace::from_store(Arc::clone(&self.store) as _, "")
    }

    fn runner_on(&self, workspace: &Workspace) -> Runner {
        Runner::new(workspace)
            .resource(self.log.clone())
            .resource(Arc::clone(&self.flaws))
    }

    fn runner(&self) -> Runner {
        self.runner_on(&self.workspace())
    }

    /// Ends a run of the task once its output is published and before anything that it has saved is deleted.
    async fn killed_before_clean_up(&self) {
        let came = Arc::new(Notify::new());
        let comes = Arc::clone(&came);
        let workspace = Hooked::workspace(&self.store, move |operation, path| {
            if operation == "delete" && path.starts_with("_kart/steps") {
                comes.notify_one();
                return pending().boxed();
            }
            ready(()).boxed()
        });
        let runner = self.runner_on(&workspace);
        tokio::select! {
            biased;
            () = came.notified() => {}
            ended = runner.run(Drawn) => panic!("not killed: {ended:?}"),
        }
    }

    async fn runs(&self, runner: &Runner) -> usize {
        let report = runner.run(Drawn).await.unwrap();
        report.output(&Drawn).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rerun_begins_afresh_and_resumes_what_it_has_saved_itself() {
    let place = Place::default();
    place.killed_before_clean_up().await;
    assert_eq!(saved(&place.workspace()).await.len(), 1);

    place.flaws.store(1, Ordering::SeqCst);
    let rerun = place.runner().rerun("Drawn");
    rerun.run(Drawn).await.unwrap_err();
    assert_eq!(place.log.all().len(), 2);

    assert_eq!(place.runs(&place.runner()).await, 2);
    assert_eq!(place.log.all().len(), 2);
    assert_eq!(saved(&place.workspace()).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_second_rerun_takes_nothing_from_the_first() {
    let place = Place::default();
    place.runs(&place.runner()).await;
    place.flaws.store(1, Ordering::SeqCst);
    let rerun = place.runner().rerun("Drawn");
    rerun.run(Drawn).await.unwrap_err();

    let abandoning = place.runner().abandon_reruns(true).rerun("Drawn");
    assert_eq!(place.runs(&abandoning).await, 3);
}
