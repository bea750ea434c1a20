//! Outputs whose path has no key: whose they are, and when they are out of date.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kart::{
    Coordination, Error, Event, Outcome, OutputState, RunError, Runner, TaskExt, Workspace, task,
};

use crate::common::{Faulty, Log, Metadata, memory, objects, since};

const SIDECAR: &str = "_kart/paths/out/report.txt.key";
const KINDS: [Metadata; 3] = [Metadata::Kept, Metadata::Refused, Metadata::Dropped];

#[task(path = "out/report.txt")]
async fn report(day: u32, #[resource] log: &Log) -> kart::Result<String> {
    log.note(format!("day {day}"));
    Ok(format!("report of {day}"))
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    // Only the requests for outputs are counted here.
    Runner::new(workspace)
        .coordination(Coordination::None)
        .run_log(false)
        .resource(log.clone())
}

fn keeping(metadata: Metadata) -> Workspace {
    Faulty::keeping(metadata, |_, _| false)
}

async fn text(workspace: &Workspace, path: &str) -> String {
    let bytes = workspace.read(path).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_output_is_one_write_that_says_who_made_it_and_one_request_finds_it() {
    let (workspace, log) = (memory(), Log::default());
    let task = Report { day: 1 };
    let before = workspace.requests();
    runner(&workspace, &log).run(task.clone()).await.unwrap();
    assert_eq!(since(before, &workspace), [1, 0, 1, 0, 1]);
    assert_eq!(objects(&workspace).await.len(), 1);
    let state = task.stored(&workspace).unwrap().state().await.unwrap();
    let made = state.provenance().unwrap();
    assert!(
        matches!(state, OutputState::Complete { bytes: 11, .. }),
        "{state:?}"
    );
    assert_eq!(
        (made.key, made.task.as_str()),
        (task.key(), Report::spec().name)
    );
    assert_eq!(
        (made.bytes, made.code.as_deref()),
        (11, Some(Report::spec().code))
    );
    assert_eq!(
        made.blake3(),
        Some(blake3::hash(b"report of 1").to_hex().to_string())
    );
    assert!(made.run.is_some());

    let before = workspace.requests();
    runner(&workspace, &log).run(task).await.unwrap();
    assert_eq!(since(before, &workspace), [1, 0, 0, 0, 1]);
    assert_eq!(log.all(), ["day 1"]);
}

#[tokio::test]
async fn where_a_store_keeps_no_metadata_a_second_object_says_who_made_an_output() {
    for metadata in [Metadata::Refused, Metadata::Dropped] {
        let (workspace, log) = (keeping(metadata), Log::default());
        let task = Report { day: 1 };
        runner(&workspace, &log).run(task.clone()).await.unwrap();
        assert_eq!(objects(&workspace).await.len(), 2);
        let sidecar = text(&workspace, SIDECAR).await;
        assert!(
            sidecar.contains(&format!("key={} ", task.key())),
            "{sidecar}"
        );
        runner(&workspace, &log).run(task).await.unwrap();
        assert_eq!(log.all(), ["day 1"]);
    }
}

#[tokio::test]
async fn an_output_of_another_key_is_out_of_date_and_made_again() {
    for metadata in KINDS {
        let (workspace, log) = (keeping(metadata), Log::default());
        let (first, second) = (Report { day: 1 }, Report { day: 2 });
        runner(&workspace, &log).run(first.clone()).await.unwrap();
        assert!(!second.is_complete(&workspace).await.unwrap());
        runner(&workspace, &log).run(second.clone()).await.unwrap();
        assert_eq!(log.take(), ["day 1", "day 2"]);
        assert_eq!(text(&workspace, "out/report.txt").await, "report of 2");
        assert!(!first.is_complete(&workspace).await.unwrap());
        assert!(second.is_complete(&workspace).await.unwrap());
    }
}

#[tokio::test]
async fn an_output_of_another_key_is_neither_read_nor_deleted() {
    for metadata in KINDS {
        let (workspace, log) = (keeping(metadata), Log::default());
        let (first, second) = (Report { day: 1 }, Report { day: 2 });
        let report = runner(&workspace, &log).run(first.clone()).await.unwrap();
        runner(&workspace, &log).run(second.clone()).await.unwrap();
        let of_first = first.stored(&workspace).unwrap();
        let errors = [
            first.load(&workspace).await.map(drop),
            report.output(&first).await.map(drop),
            of_first.bytes().await.map(drop),
            of_first.range(0..3).await.map(drop),
            of_first.file().await.map(drop),
            of_first.reader().await.map(drop),
            of_first.size().await.map(drop),
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::OtherKey { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains(&second.key().to_string()) && text.contains("hint: "),
                "{text}"
            );
        }
        assert!(!first.remove(&workspace).await.unwrap());
        assert_eq!(second.load(&workspace).await.unwrap(), "report of 2");
    }
}

#[tokio::test]
async fn an_output_that_replaces_another_says_so() {
    let (workspace, log, events) = (memory(), Log::default(), Log::default());
    runner(&workspace, &log)
        .run(Report { day: 1 })
        .await
        .unwrap();
    let heard = events.clone();
    let runner = runner(&workspace, &log)
        .run_log(true)
        .on_event(move |event| {
            if let Event::OutputReplaced { task, replaced } = event {
                heard.note(format!("{} {}", task.key(), replaced.key));
                heard.note(event.warning().unwrap());
            }
        });
    let report = runner.run(Report { day: 2 }).await.unwrap();
    let (first, second) = (Report { day: 1 }.key(), Report { day: 2 }.key());
    let heard = events.take();
    assert_eq!(heard[0], format!("{second} {first}"));
    assert!(
        heard[1].contains("`out/report.txt`") && heard[1].contains("{key}"),
        "{heard:?}"
    );
    assert_eq!(report.replaced().count(), 1);
    let records = workspace
        .records(|record| record.key == second)
        .await
        .unwrap();
    assert_eq!(records[0].replaced, Some(first));
    let report = runner.run(Report { day: 2 }).await.unwrap();
    assert!(events.all().is_empty());
    assert_eq!(report.replaced().count(), 0);
}

#[tokio::test]
async fn an_output_that_someone_else_put_there_is_kept_and_told_of_once() {
    for metadata in KINDS {
        let (workspace, log, events) = (keeping(metadata), Log::default(), Log::default());
        let by_hand = "by hand".into();
        workspace.replace("out/report.txt", by_hand).await.unwrap();
        let heard = events.clone();
        let runner = runner(&workspace, &log).on_event(move |event| {
            if let Event::UnexpectedOutput { .. } = event {
                heard.note(event.warning().unwrap());
            }
        });
        let task = Report { day: 1 };
        let output = runner.run(task.clone()).await.unwrap();
        assert_eq!(output.output(&task).await.unwrap(), "by hand");
        let told = events.take();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("somebody else has put it there"),
            "{told:?}"
        );
        runner.run(task.clone()).await.unwrap();
        assert!(events.all().is_empty() && log.all().is_empty());
        assert_eq!(task.load(&workspace).await.unwrap(), "by hand");
        // It counts for the task that met it, and for no other.
        assert!(!Report { day: 2 }.is_complete(&workspace).await.unwrap());
    }
}

#[tokio::test]
async fn what_was_recorded_of_an_earlier_object_says_nothing_of_a_later_one() {
    let (workspace, log) = (memory(), Log::default());
    let runner = runner(&workspace, &log).run_log(true);
    let (first, second) = (Report { day: 1 }, Report { day: 2 });
    // Somebody else has put it there for day 1, and it is told once; then it is deleted by hand.
    workspace
        .replace("out/report.txt", "report of 0".into())
        .await
        .unwrap();
    runner.run(first.clone()).await.unwrap();
    workspace.delete("out/report.txt").await.unwrap();
    runner.run(second.clone()).await.unwrap();
    // A tool copies the bytes without their metadata.
    let bytes = workspace.read("out/report.txt").await.unwrap().unwrap();
    workspace.replace("out/report.txt", bytes).await.unwrap();
    assert!(!first.is_complete(&workspace).await.unwrap());
    assert!(second.is_complete(&workspace).await.unwrap());
    // An edit is an error, and not what somebody else has put there.
    workspace
        .replace("out/report.txt", "report of 9".into())
        .await
        .unwrap();
    assert!(matches!(
        second.load(&workspace).await,
        Err(Error::Mismatch { .. })
    ));
    workspace
        .replace("out/report.txt", "report".into())
        .await
        .unwrap();
    for task in [&first, &second] {
        assert!(matches!(
            task.load(&workspace).await,
            Err(Error::Mismatch { .. })
        ));
    }
}

#[tokio::test]
async fn an_output_that_was_deleted_is_made_again_whatever_is_recorded_of_it() {
    for metadata in KINDS {
        let (workspace, log) = (keeping(metadata), Log::default());
        let task = Report { day: 1 };
        runner(&workspace, &log).run(task.clone()).await.unwrap();
        workspace.delete("out/report.txt").await.unwrap();
        assert!(!task.is_complete(&workspace).await.unwrap());
        runner(&workspace, &log).run(task.clone()).await.unwrap();
        assert_eq!(log.all(), ["day 1", "day 1"]);
    }
}

#[tokio::test]
async fn removing_an_output_removes_all_that_is_recorded_of_it() {
    for metadata in KINDS {
        let (workspace, log) = (keeping(metadata), Log::default());
        let task = Report { day: 1 };
        runner(&workspace, &log).run(task.clone()).await.unwrap();
        assert!(task.remove(&workspace).await.unwrap());
        assert!(objects(&workspace).await.is_empty());
        assert!(!task.remove(&workspace).await.unwrap());
    }
}

#[tokio::test]
async fn a_crash_while_an_output_is_written_is_never_taken_for_a_finished_one() {
    // Each write fails once: that which finds out what the store keeps, and the output; without metadata, what is recorded
    // before and after it too.
    for metadata in KINDS {
        for (crash_at, old_output) in (0..4).flat_map(|at| [(at, false), (at, true)]) {
            let (armed, log) = (Arc::new(AtomicBool::new(false)), Log::default());
            let (fails, writes) = (Arc::clone(&armed), Log::default());
            let workspace = Faulty::keeping(metadata, move |operation, path| {
                if operation != "put" || !fails.load(Ordering::SeqCst) {
                    return false;
                }
                writes.note(path);
                writes.all().len() > crash_at
            });
            if old_output {
                let runner = runner(&workspace, &log);
                runner.run(Report { day: 1 }).await.unwrap();
            }
            armed.store(true, Ordering::SeqCst);
            let task = Report { day: 2 };
            let crashed = runner(&workspace, &log).run(task.clone()).await;
            armed.store(false, Ordering::SeqCst);
            let when =
                format!("{metadata:?}, a crash at write {crash_at}, old output: {old_output}");
            match crashed {
                Ok(_) => assert!(task.is_complete(&workspace).await.unwrap(), "{when}"),
                Err(RunError::Interrupted(_)) => {
                    assert!(!task.is_complete(&workspace).await.unwrap(), "{when}");
                }
                Err(error) => panic!("{when}: {error:?}"),
            }
            assert!(
                !Report { day: 3 }.is_complete(&workspace).await.unwrap(),
                "{when}"
            );
            runner(&workspace, &log).run(task.clone()).await.unwrap();
            assert_eq!(
                text(&workspace, "out/report.txt").await,
                "report of 2",
                "{when}"
            );
            assert!(task.is_complete(&workspace).await.unwrap(), "{when}");
        }
    }
}

/// What a scanner leaves.
#[task(external, path = "raw/{day}.csv")]
async fn raw(day: u32) -> kart::Result<Vec<(u32, String)>>;

#[task]
async fn rows(day: u32, #[requires(Raw { day })] rows: &[(u32, String)]) -> kart::Result<usize> {
    Ok(rows.len())
}

#[tokio::test]
async fn an_external_output_that_is_missing_fails_by_its_place_and_blocks_its_dependents() {
    let workspace = memory();
    let error = Runner::new(&workspace)
        .run_log(false)
        .run(Rows { day: 3 })
        .await
        .unwrap_err();
    let report = error.report().unwrap();
    match report.outcome(&Raw { day: 3 }) {
        Some(Outcome::Failed(failure)) => assert_eq!(failure.attempts, 1),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        report.outcome(&Rows { day: 3 }),
        Some(Outcome::Blocked { by }) if *by == Raw { day: 3 }.key()
    ));
    let story = format!("{error:#}");
    let place = workspace.display_url("raw/3.csv");
    assert!(
        story.contains(&format!("external input `{place}` is missing")),
        "{story}"
    );
    assert!(objects(&workspace).await.is_empty());
}

#[tokio::test]
async fn an_external_output_that_is_there_is_used_and_left_alone() {
    let workspace = memory();
    let csv = "0,1\n1,a\n2,b\n";
    workspace.replace("raw/3.csv", csv.into()).await.unwrap();
    let runner = Runner::new(&workspace).run_log(false);
    let report = runner.run(Rows { day: 3 }).await.unwrap();
    assert_eq!((report.counts().complete, report.counts().ran), (1, 1));
    for runner in [runner.clone().rerun_all(), runner.clone().rerun("Raw")] {
        runner.run(Rows { day: 3 }).await.unwrap();
        assert_eq!(text(&workspace, "raw/3.csv").await, csv);
    }
    // Nothing is recorded of what something else has made.
    assert!(workspace.list("_kart").await.unwrap().is_empty());
}

#[task(path = "out/x.json")]
async fn short() -> kart::Result<u32> {
    Ok(1)
}

#[task(path = "out/x.json.key/y.json")]
async fn long(#[requires(Short)] short: u32) -> kart::Result<u32> {
    Ok(short + 1)
}

#[task(path = "out/x.json.key_/y.json")]
async fn longer(#[requires(Long)] long: u32) -> kart::Result<u32> {
    Ok(long + 1)
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn a_path_below_what_looks_like_the_sidecar_of_another_stands_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Workspace::open(directory.path()).unwrap();
    // In a directory it is up to the file system.
    let refused = keeping(Metadata::Refused);
    let kinds = [(opened, None), (memory(), Some(0)), (refused, Some(1))];
    for (workspace, sidecars) in kinds {
        let count = async || workspace.list("_kart/paths").await.unwrap().len();
        let runner = Runner::new(&workspace);
        assert_eq!(runner.run(Longer).await.unwrap().counts().ran, 3);
        let sidecars = sidecars.unwrap_or(count().await / 3);
        assert_eq!(count().await, 3 * sidecars);
        assert_eq!(runner.run(Longer).await.unwrap().counts().complete, 1);
        for removed in [
            Short.remove(&workspace).await,
            Long.remove(&workspace).await,
        ] {
            assert!(removed.unwrap());
        }
        assert_eq!(count().await, sidecars);
        assert!(Longer.is_complete(&workspace).await.unwrap());
    }
}
