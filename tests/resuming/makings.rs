//! Saved state belongs to the making of one output.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use kart::{AnyTask, Context, Coordination, Runner, TaskExt as _, Workspace, task};
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
    async fn killed_before_clean_up(&self, coordination: Coordination) {
        let came = Arc::new(Notify::new());
        let comes = Arc::clone(&came);
        let workspace = Hooked::workspace(&self.store, move |operation, path| {
            if operation == "delete" && path.starts_with("_kart/steps") {
                comes.notify_one();
                return pending().boxed();
            }
            ready(()).boxed()
        });
        let runner = self.runner_on(&workspace).coordination(coordination);
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
    place.killed_before_clean_up(Coordination::Exclusive).await;
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

#[tokio::test(start_paused = true)]
async fn what_a_kill_before_the_clean_up_has_left_goes_with_the_next_run() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let place = Place::default();
        place.killed_before_clean_up(coordination).await;
        let next = place.runner().coordination(coordination);
        assert_eq!(place.runs(&next).await, 1);
        assert_eq!(saved(&place.workspace()).await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_was_removed_is_made_from_nothing_that_was_saved() {
    let place = Place::default();
    place.killed_before_clean_up(Coordination::Exclusive).await;
    let workspace = place.workspace();
    assert_eq!(
        workspace.saved_state(&[Drawn.key()]).await.unwrap().len(),
        1
    );
    // Whoever has a claim may be alive.
    assert_eq!(workspace.finished_saved_state().await.unwrap(), []);
    assert!(Drawn.remove(&workspace).await.unwrap());
    assert_eq!(workspace.saved_state(&[Drawn.key()]).await.unwrap(), []);
    assert_eq!(place.runs(&place.runner()).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_an_output_loses_what_it_has_saved_when_it_is_removed() {
    let place = Place::default();
    place.flaws.store(1, Ordering::SeqCst);
    place.runner().run(Drawn).await.unwrap_err();
    assert!(
        !AnyTask::from(Drawn)
            .remove(&place.workspace())
            .await
            .unwrap()
    );
    assert_eq!(place.runs(&place.runner()).await, 2);
}

/// Asks for the task that draws, which its graph does not hold.
#[task]
async fn asks(#[context] cx: &Context) -> kart::Result<usize> {
    Ok(*cx.get(Drawn).await?)
}

#[tokio::test(start_paused = true)]
async fn what_a_subtask_has_left_goes_too_although_no_graph_holds_it() {
    let place = Place::default();
    place.killed_before_clean_up(Coordination::None).await;
    let unswept = place.runner().coordination(Coordination::None);
    unswept.run(Asks).await.unwrap();
    let workspace = place.workspace();
    assert_eq!(saved(&workspace).await.len(), 1);
    let finished = workspace.finished_saved_state().await.unwrap();
    assert_eq!(finished.len(), 1);
    place.runner().run(Asks).await.unwrap();
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
}

/// Saves, and then waits at a gate.
#[task]
async fn gated(#[context] cx: &Context, #[resource] gate: &Gate) -> kart::Result<u64> {
    cx.save("state", &1).await?;
    gate.has_saved.notify_one();
    gate.may_go_on.notified().await;
    Ok(cx.restore("state").await?.unwrap_or_default())
}

#[derive(Clone, Default)]
struct Gate {
    has_saved: Arc<Notify>,
    may_go_on: Arc<Notify>,
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_making_that_is_under_way_is_kept() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let (place, gate) = (Place::default(), Gate::default());
        let workspace = place.workspace();
        place.runs(&place.runner()).await;
        let gated = place.runner().resource(gate.clone());
        let gated = gated.coordination(coordination);
        for rerun in [false, true] {
            let gated = gated.clone();
            let gated = if rerun { gated.rerun("Gated") } else { gated };
            let others = async {
                gate.has_saved.notified().await;
                let complete = place.runner();
                complete.run(Drawn).await.unwrap();
                complete
                    .coordination(Coordination::Shared)
                    .run(Drawn)
                    .await
                    .unwrap();
                assert_eq!(workspace.finished_saved_state().await.unwrap(), []);
                assert_eq!(saved(&workspace).await.len(), 1);
                gate.may_go_on.notify_one();
            };
            let (ran, ()) = tokio::join!(gated.run(Gated), others);
            assert_eq!(ran.unwrap().output(&Gated).await.unwrap(), 1);
            assert_eq!(saved(&workspace).await, Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_rerun_that_was_dropped_goes_with_the_next_run() {
    let place = Place::default();
    place.runs(&place.runner()).await;
    place.flaws.store(1, Ordering::SeqCst);
    place.runner().rerun("Drawn").run(Drawn).await.unwrap_err();
    let workspace = place.workspace();
    assert_eq!(saved(&workspace).await.len(), 1);
    assert_eq!(workspace.finished_saved_state().await.unwrap(), []);
    assert_eq!(place.runs(&place.runner().abandon_reruns(true)).await, 1);
    assert_eq!(place.runs(&place.runner()).await, 1);
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
}
