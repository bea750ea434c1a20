use std::time::Duration;

use super::*;
use crate::lease_protocol::{ClaimRecord, LivenessRecord, Nonce, ProcessId, ProcessIdentity};
use crate::workspace::{Workspace, layout};

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(30);

fn memory() -> Workspace {
    Workspace::open("memory://").unwrap()
}

fn key() -> Key {
    Key::of(b"a task")
}

/// A participant that no other can tell anything of without its heartbeat.
fn elsewhere(workspace: &Workspace, pid: u32) -> Participant {
    let identity = ProcessIdentity {
        host: "elsewhere".to_owned(),
        boot: String::new(),
        pid,
        started: String::new(),
    };
    let participant = Participant::with_identity(workspace, TTL, format!("run {pid}"), identity);
    participant.sweeps();
    participant
}

async fn won(participant: &Participant) -> Claim {
    match participant.claim(key(), "it").await.unwrap() {
        Claimed::Won(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn is_held(participant: &Participant) -> bool {
    matches!(
        participant.claim(key(), "it").await.unwrap(),
        Claimed::Held(_)
    )
}

async fn failure(participant: &Participant) -> Option<(u32, u32, String)> {
    match participant.claim(key(), "it").await.unwrap() {
        Claimed::Failed {
            owner,
            attempts,
            error,
        } => Some((owner.pid, attempts, error)),
        _ => None,
    }
}

/// A claim that a process elsewhere made in that generation.
async fn claim_of_another(workspace: &Workspace, generation: u64) -> ProcessId {
    let process = ProcessId::random();
    let record = ClaimRecord {
        process,
        nonce: Nonce::random(),
        origin: ProcessIdentity {
            host: "elsewhere".to_owned(),
            boot: String::new(),
            pid: 7,
            started: String::new(),
        },
        run: "another".to_owned(),
        since: std::time::SystemTime::UNIX_EPOCH,
        what: "it".to_owned(),
        failed: None,
    };
    let path = layout::claim(key(), generation);
    let bytes = shared::json(&record);
    workspace.replace(&path, bytes).await.unwrap();
    process
}

async fn claims_left(workspace: &Workspace) -> usize {
    workspace.list(layout::CLAIMS).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_over_is_noticed_by_asking_the_store() {
    let workspace = memory();
    let participant = elsewhere(&workspace, 1);
    let claim = won(&participant).await;
    claim_of_another(&workspace, 2).await;
    // Its own heartbeat is fine all the time.
    tokio::time::sleep(TTL).await;
    assert!(claim.is_held());
    assert!(claim.ensure_held().await.is_err());
    assert!(!claim.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_checked_again_after_the_machine_was_suspended() {
    let workspace = memory();
    let participant = elsewhere(&workspace, 1);
    let claim = won(&participant).await;
    claim_of_another(&workspace, 2).await;
    claim.ensure_held().await.unwrap();
    claim.suspend(TTL);
    assert!(claim.ensure_held().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_lease_is_lost_is_not_deleted() {
    let workspace = memory();
    let participant = elsewhere(&workspace, 1);
    let claim = won(&participant).await;
    claim_of_another(&workspace, 2).await;
    claim.suspend(TTL);
    assert!(claim.ensure_held().await.is_err());
    claim.release(true).await;
    assert_eq!(claims_left(&workspace).await, 2);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_leaves_no_older_generation() {
    let workspace = memory();
    claim_of_another(&workspace, 1).await;
    let participant = elsewhere(&workspace, 1);
    let claim = won(&participant).await;
    assert_eq!(claim.generation(), 2);
    claim.release(true).await;
    assert_eq!(claims_left(&workspace).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_one_run_saw_silent_is_taken_over_by_the_next_at_once() {
    let workspace = memory();
    let process = claim_of_another(&workspace, 1).await;
    let record = LivenessRecord {
        process,
        counter: 1,
        origin: this_process().clone(),
        run: "another".to_owned(),
        since: std::time::SystemTime::now(),
        waits: Vec::new(),
    };
    let liveness = layout::heartbeat(process);
    let bytes = shared::json(&record);
    workspace.replace(&liveness, bytes).await.unwrap();
    assert!(is_held(&elsewhere(&workspace, 1)).await);
    tokio::time::sleep(TTL).await;
    won(&elsewhere(&workspace, 2)).await;
}

#[tokio::test(start_paused = true)]
async fn work_that_failed_for_good_is_not_tried_again_by_those_that_share_it() {
    let workspace = memory();
    let (first, second) = (elsewhere(&workspace, 1), elsewhere(&workspace, 2));
    let claim = won(&first).await;
    assert!(is_held(&second).await);
    claim.fail(4, "no such thing").await.unwrap();
    let expected = Some((1, 4, "no such thing".to_owned()));
    assert_eq!(failure(&second).await, expected);
    // The second has seen it hold the claim, and remembers.
    first.leave().await;
    assert_eq!(failure(&second).await, expected);
}

#[tokio::test(start_paused = true)]
async fn work_that_failed_for_good_stays_failed_while_the_process_is_alive() {
    let workspace = memory();
    let (first, second) = (elsewhere(&workspace, 1), elsewhere(&workspace, 2));
    won(&first).await.fail(1, "no").await.unwrap();
    // Nobody knows yet whether it is alive.
    assert!(is_held(&second).await);
    tokio::time::sleep(TTL / 3 + SECOND).await;
    assert_eq!(failure(&second).await, Some((1, 1, "no".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn work_that_failed_for_good_is_tried_again_by_a_process_that_comes_later() {
    let workspace = memory();
    let (first, second) = (elsewhere(&workspace, 1), elsewhere(&workspace, 2));
    second
        .claim(Key::of(b"another task"), "that")
        .await
        .unwrap();
    won(&first).await.fail(1, "no").await.unwrap();
    first.leave().await;
    let later = elsewhere(&workspace, 3);
    assert_eq!(won(&later).await.generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_the_root_tries_work_again_that_failed_for_good_in_a_run_that_has_left() {
    let workspace = memory();
    let (first, second) = (elsewhere(&workspace, 1), elsewhere(&workspace, 2));
    let claim = won(&first).await;
    assert!(is_held(&second).await);
    claim.fail(1, "no").await.unwrap();
    assert!(matches!(
        second.claim_anew(key(), "it").await.unwrap(),
        Claimed::Held(_)
    ));
    first.leave().await;
    assert!(matches!(
        second.claim_anew(key(), "it").await.unwrap(),
        Claimed::Won(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn the_last_process_that_leaves_sweeps_what_failed_for_good() {
    let workspace = memory();
    let (first, second) = (elsewhere(&workspace, 1), elsewhere(&workspace, 2));
    won(&first).await.fail(1, "no").await.unwrap();
    second
        .claim(Key::of(b"another task"), "that")
        .await
        .unwrap();
    first.leave().await;
    assert_eq!(claims_left(&workspace).await, 2);
    second.leave().await;
    // What the second holds stays until somebody finds it without liveness.
    assert_eq!(claims_left(&workspace).await, 1);

    let workspace = memory();
    let only = elsewhere(&workspace, 1);
    won(&only).await.fail(1, "no").await.unwrap();
    only.leave().await;
    assert_eq!(workspace.list("_kart").await.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn writers_of_one_path_take_turns() {
    let workspace = memory();
    let (first, second) = (elsewhere(&workspace, 1), elsewhere(&workspace, 2));
    let Claimed::Won(claim) = first.claim_path("latest.json").await.unwrap() else {
        panic!("nobody else claims it");
    };
    let other = second.claim_path("latest.json").await.unwrap();
    assert!(matches!(other, Claimed::Held(_)), "{other:?}");
    let other = second.claim_path("other.json").await.unwrap();
    assert!(matches!(other, Claimed::Won(_)), "{other:?}");
    claim.release(true).await;
    let next = second.claim_path("latest.json").await.unwrap();
    assert!(matches!(next, Claimed::Won(_)), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn the_longest_ttl_is_no_overflow() {
    let workspace = memory();
    let run = "run".to_owned();
    let participant = Participant::new(&workspace, Duration::MAX, run.clone());
    let claim = won(&participant).await;
    tokio::time::sleep(1_000_000 * SECOND).await;
    claim.ensure_held().await.unwrap();
    let mut identity = this_process().clone();
    identity.host = "elsewhere".to_owned();
    let other = Participant::with_identity(&workspace, Duration::MAX, run, identity);
    assert!(is_held(&other).await);
    claim.release(true).await;
    participant.leave().await;
}

/// The body of a task that never yields keeps the only thread of its runtime.
#[test]
fn a_busy_runtime_does_not_starve_the_heartbeat() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let held = runtime.block_on(async {
        let busy = tokio::spawn(async {
            let ttl = Duration::from_millis(600);
            let participant = Participant::new(&memory(), ttl, "run".to_owned());
            let claim = won(&participant).await;
            std::thread::sleep(2 * ttl);
            let held = claim.is_held();
            participant.leave().await;
            held
        });
        busy.await.unwrap()
    });
    assert!(held);
}
