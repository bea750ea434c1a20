//! What is read is what was written, or an error that says what is there.

use kart::{Artifact, Error, Event, File, RunError, Runner, TaskExt, Verify, Workspace, task};

use crate::common::{Faulty, Log, Metadata, memory};

#[task(path = "{n}/rows.jsonl", format = kart::format::JsonLines)]
async fn rows(n: u32, #[resource] log: &Log) -> kart::Result<Vec<(u32, u32)>> {
    log.note("rows");
    Ok((0..n).map(|row| (row, row)).collect())
}

#[task]
async fn sum(#[requires(Rows { n: 3 })] rows: &[(u32, u32)]) -> kart::Result<u32> {
    Ok(rows.iter().map(|row| row.1).sum())
}

const ROWS: Rows = Rows { n: 3 };

async fn made(workspace: &Workspace, log: &Log) -> Runner {
    let runner = Runner::new(workspace).resource(log.clone());
    runner.run(ROWS).await.unwrap();
    log.take();
    runner
}

/// Changes the bytes of an output, and leaves what is recorded of it.
async fn edit(workspace: &Workspace, path: &str, bytes: &str) {
    // A sidecar stays when the object is replaced.
    workspace
        .replace(path, bytes.to_owned().into())
        .await
        .unwrap();
}

/// The object as it was stored, in a workspace that keeps what is recorded apart from the bytes.
fn apart() -> Workspace {
    Faulty::keeping(Metadata::Refused, |_, _| false)
}

#[tokio::test]
async fn an_output_that_was_edited_is_an_error_that_says_what_was_recorded_and_what_is_there() {
    let (workspace, log) = (apart(), Log::default());
    let runner = made(&workspace, &log).await;
    let written = workspace.read("3/rows.jsonl").await.unwrap().unwrap();
    let edited = String::from_utf8(written.to_vec())
        .unwrap()
        .replace("[2,2]", "[2,9]");
    edit(&workspace, "3/rows.jsonl", &edited).await;
    let recorded = blake3::hash(&written).to_hex().to_string();
    let found = blake3::hash(edited.as_bytes()).to_hex().to_string();
    let stored = ROWS.stored(&workspace).unwrap();
    let errors = [
        ROWS.load(&workspace).await.map(drop),
        stored.bytes().await.map(drop),
        stored.verify().await,
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
        let text = error.to_string();
        for part in [&recorded, &found, "3/rows.jsonl", "hint: ", "accept"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
    let error = runner.run(Sum).await.unwrap_err();
    assert!(matches!(error, RunError::Failed(_)), "{error:?}");
    assert!(format!("{error:#}").contains(&found), "{error:#}");
    assert!(log.all().is_empty(), "nothing is made in its place");
    let report = runner.verify(Verify::Never).run(Sum).await.unwrap();
    assert_eq!(report.output(&Sum).await.unwrap(), 10);
}

#[tokio::test]
async fn an_output_that_was_cut_off_or_emptied_is_made_again_and_told_of() {
    for left in ["[0,0]\n", ""] {
        let (workspace, log, events) = (apart(), Log::default(), Log::default());
        let heard = events.clone();
        let runner = made(&workspace, &log).await.on_event(move |event| {
            if let Event::UnexpectedOutput { .. } = event {
                heard.note(event.warning().unwrap());
            }
        });
        edit(&workspace, "3/rows.jsonl", left).await;
        let error = ROWS.load(&workspace).await.unwrap_err();
        assert!(
            matches!(error, Error::Torn { recorded: 18, .. }),
            "{error:?}"
        );
        assert!(!ROWS.is_complete(&workspace).await.unwrap());
        let report = runner.run(Sum).await.unwrap();
        assert_eq!(report.output(&Sum).await.unwrap(), 3);
        assert_eq!(log.take(), ["rows"]);
        let told = events.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("torn") && told[0].contains("3/rows.jsonl"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn an_output_that_has_grown_is_kept_and_told_of_and_reading_it_fails() {
    let (workspace, log, events) = (apart(), Log::default(), Log::default());
    let heard = events.clone();
    let runner = made(&workspace, &log).await.on_event(move |event| {
        if let Event::UnexpectedOutput { .. } = event {
            heard.note(event.warning().unwrap());
        }
    });
    edit(&workspace, "3/rows.jsonl", "[0,0]\n[1,1]\n[2,2]\n[3,3]\n").await;
    runner.run(ROWS).await.unwrap();
    assert!(events.take()[0].contains("changed"));
    assert!(log.all().is_empty());
    let error = ROWS.load(&workspace).await.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
}

#[tokio::test]
async fn what_has_no_record_is_read_unless_all_is_to_be_verified() {
    let (workspace, log) = (memory(), Log::default());
    workspace
        .replace("3/rows.jsonl", "[7,8]\n".into())
        .await
        .unwrap();
    let runner = Runner::new(&workspace).resource(log.clone());
    let error = runner
        .clone()
        .verify(Verify::Always)
        .run(Sum)
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("cannot be verified"),
        "{error:#}"
    );
    let report = runner.run(Sum).await.unwrap();
    assert_eq!(report.output(&Sum).await.unwrap(), 8);
}

#[task(path = "large.txt", format = kart::format::Text)]
async fn large(#[context] cx: &kart::Context) -> std::io::Result<File> {
    let file = cx.new_file()?;
    std::fs::write(file.path(), "a".repeat(100_000))?;
    Ok(file)
}

#[task]
async fn length(#[requires(Large)] file: &File) -> std::io::Result<u64> {
    file.size()
}

#[task]
async fn read(#[requires(Large)] file: Artifact<File>) -> Result<u64, kart::BoxError> {
    use tokio::io::AsyncReadExt as _;
    let mut text = String::new();
    file.reader().await?.read_to_string(&mut text).await?;
    Ok(text.len() as u64)
}

#[tokio::test]
async fn a_file_is_verified_before_a_body_gets_it_and_a_stream_at_its_end() {
    let workspace = apart();
    let runner = Runner::new(&workspace);
    runner.run(Large).await.unwrap();
    edit(&workspace, "large.txt", &"b".repeat(100_000)).await;
    for error in [
        runner.run(Length).await.unwrap_err(),
        runner.run(Read).await.unwrap_err(),
    ] {
        let text = format!("{error:#}");
        assert!(
            text.contains("was changed") && text.contains("large.txt"),
            "{text}"
        );
    }
}

/// Its path holds its key.
#[task(format = kart::format::JsonLines)]
async fn keyed_rows(#[resource] log: &Log) -> kart::Result<Vec<u32>> {
    log.note("rows");
    Ok(vec![1, 2, 3])
}

#[task]
async fn keyed_sum(#[requires(KeyedRows)] rows: Vec<u32>) -> kart::Result<u32> {
    Ok(rows.iter().sum())
}

/// Changes a file as a shell does by `> file`, which keeps what the file system knows of it.
#[cfg(unix)]
fn write_over(file: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(file, text).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_keyed_output_that_was_emptied_in_a_directory_is_made_again_and_an_edited_one_is_an_error()
 {
    for left in ["", "1\n2\n", "1\n2\n4\n"] {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(directory.path()).unwrap();
        let log = Log::default();
        let runner = Runner::new(&workspace).resource(log.clone());
        runner.run(KeyedRows).await.unwrap();
        write_over(&directory.path().join(KeyedRows.path()), left);
        log.take();
        let is_edited = left.len() == 6;
        assert_eq!(KeyedRows.is_complete(&workspace).await.unwrap(), is_edited);
        let run = runner.run(KeyedSum).await;
        if is_edited {
            assert!(matches!(run, Err(RunError::Failed(_))), "{run:?}");
            assert!(log.all().is_empty());
        } else {
            assert_eq!(run.unwrap().output(&KeyedSum).await.unwrap(), 6);
            assert_eq!(log.take(), ["rows"]);
        }
    }
}

#[tokio::test]
async fn a_keyed_output_that_was_emptied_in_a_bucket_is_made_again_when_it_is_read() {
    let (workspace, log) = (apart(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    runner.run(KeyedRows).await.unwrap();
    edit(&workspace, &KeyedRows.path(), "").await;
    let error = KeyedRows.load(&workspace).await.unwrap_err();
    assert!(
        matches!(error, Error::Torn { .. } | Error::Mismatch { .. }),
        "{error:?}"
    );
    log.take();
    let report = runner.run(KeyedSum).await.unwrap();
    assert_eq!(report.output(&KeyedSum).await.unwrap(), 6);
    assert_eq!(log.take(), ["rows"]);
}

#[task(path = "given.txt")]
async fn given() -> kart::Result<String> {
    Ok("made".to_owned())
}

#[tokio::test]
async fn what_somebody_else_has_put_there_is_verified_once_a_run_has_met_it() {
    for workspace in [memory(), apart()] {
        edit(&workspace, "given.txt", "by hand").await;
        Runner::new(&workspace).run(Given).await.unwrap();
        assert_eq!(Given.load(&workspace).await.unwrap(), "by hand");
        edit(&workspace, "given.txt", "by mine").await;
        let error = Given.load(&workspace).await.unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    }
}
