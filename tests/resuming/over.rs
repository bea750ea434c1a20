//! What the context of an attempt that is over still does: nothing.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use kart::{Context, Runner, StopToken, task};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::common::{Hooked, memory, unless_stuck};
use crate::{SECOND, saved};

type Answers = UnboundedSender<(&'static str, Result<(), kart::Error>)>;

/// Leaves a task of the runtime behind that goes on saving when the run is over.
#[task(timeout = "3s")]
async fn outlived(
    seconds: u32,
    #[context] cx: &Context,
    #[resource] answers: &Answers,
    #[resource] is_over: &Arc<Notify>,
) -> anyhow::Result<u32> {
    let (late, answers, is_over) = (cx.clone(), answers.clone(), Arc::clone(is_over));
    cx.save("state", &1).await?;
    tokio::spawn(async move {
        is_over.notified().await;
        let say = |what, answer| answers.send((what, answer)).unwrap();
        say("save", late.save("state", &2).await);
        say("restore", late.restore::<u64>("state").await.map(drop));
        let step = late.step("step", async { Ok::<_, kart::Error>(1) });
        say("step", step.await.map(drop));
        let double = |n: u64| async move { std::io::Result::Ok(n * 2) };
        say("map", late.map(0..3, double).await.map(drop));
        let items = late.map(0..3, double).stream();
        let items: Vec<_> = items.collect().await;
        say(
            "stream",
            items.into_iter().try_for_each(|item| item.map(drop)),
        );
        late.stopped().await;
        assert!(late.is_stopping());
        say("stopped", Err(kart::interrupted().into()));
    });
    tokio::time::sleep(SECOND * seconds).await;
    Ok(seconds)
}

/// The answers to a body's requests after its attempt.
async fn late_answers(seconds: u32) -> (Vec<String>, Vec<String>) {
    let (workspace, (sender, mut answers)) = (memory(), unbounded_channel());
    let is_over = Arc::new(Notify::new());
    let runner = Runner::new(&workspace)
        .resource::<Answers>(sender)
        .resource(Arc::clone(&is_over));
    let _ = runner.run(Outlived { seconds }).await;
    drop(runner);
    is_over.notify_one();
    let mut told = Vec::new();
    while let Some((what, answer)) = unless_stuck(answers.recv()).await {
        let error = answer.expect_err(what);
        assert!(kart::chain(&error).contains("interrupted"), "{error:?}");
        told.push(format!("{what}: {error}"));
    }
    assert_eq!(told.len(), 6, "{told:?}");
    (told, saved(&workspace).await)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_saves_nothing_any_more() {
    let (told, saved) = late_answers(60).await;
    for told in &told[..5] {
        assert!(told.contains("the attempt is over"), "{told}");
    }
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert!(saved[0].ends_with("state.state"), "{saved:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_its_output_saves_nothing_any_more() {
    let (_, saved) = late_answers(1).await;
    assert_eq!(saved, Vec::<String>::new());
}

/// Ends in the midst of a save.
#[task]
async fn saves_to_the_end(#[context] cx: &Context) -> kart::Result<u32> {
    let saving = cx.clone();
    tokio::spawn(async move { saving.save("state", &1).await });
    tokio::time::sleep(SECOND).await;
    Ok(1)
}

#[tokio::test(start_paused = true)]
async fn a_save_that_is_under_way_when_the_body_ends_leaves_nothing_behind() {
    let workspace = Hooked::workspace(&Arc::default(), |operation, path| {
        let is_save = operation == "put" && path.starts_with("_kart/steps");
        tokio::time::sleep(SECOND * if is_save { 5 } else { 0 }).boxed()
    });
    Runner::new(&workspace).run(SavesToTheEnd).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
}

/// Saves a larger number with each attempt: the first does so once it is over.
#[task(timeout = "100ms", retries = 1, backoff = "1ms")]
fn late(#[context] cx: &Context, #[resource] ended: &mpsc::Sender<String>) -> anyhow::Result<u32> {
    if cx.attempt() > 1 {
        return Ok(cx.block_on(cx.restore("attempt"))?.unwrap_or_default());
    }
    let began = Instant::now();
    while !cx.is_stopping() && began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let saved = cx.block_on(cx.save("attempt", &1));
    ended.send(format!("{}: {saved:?}", cx.is_stopping()))?;
    Ok(0)
}

#[tokio::test]
async fn a_plain_fn_sees_its_timeout_and_saves_nothing_after_it() {
    let (workspace, (sender, ended)) = (memory(), mpsc::channel::<String>());
    let runner = Runner::new(&workspace).resource(sender);
    let report = runner.run(Late).await.unwrap();
    assert_eq!(report.output(&Late).await.unwrap(), 0);
    let error = ended.recv().unwrap();
    assert!(error.starts_with("true: Err("), "{error}");
    assert!(error.contains("the attempt is over"), "{error}");
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
}

/// Saves what it has when it is told that the run stops.
#[task]
async fn saves_at_the_stop(#[context] cx: &Context) -> anyhow::Result<u32> {
    if let Some(state) = cx.restore("state").await? {
        return Ok(state);
    }
    cx.stopped().await;
    cx.save("state", &7).await?;
    Err(kart::interrupted().into())
}

#[tokio::test(start_paused = true)]
async fn a_body_still_saves_within_the_grace_of_a_stop() {
    let (workspace, stop) = (memory(), StopToken::new());
    let runner = Runner::new(&workspace).stop(&stop);
    let (stopped, ()) = tokio::join!(runner.run(SavesAtTheStop), async {
        tokio::time::sleep(SECOND).await;
        stop.stop();
    });
    stopped.unwrap_err();
    let report = Runner::new(&workspace).run(SavesAtTheStop).await.unwrap();
    assert_eq!(report.output(&SavesAtTheStop).await.unwrap(), 7);
}
