//! `check --outputs`: whether what lies in the workspace is what was written; and `accept`.

use std::time::{Duration, Instant};

use kart_core::{Error, OutputState, StoredOutput, layout};
use kart_view::shape;
use serde_json::{Map, json};
use tokio::task::JoinSet;

use super::show::stored_bytes;
use crate::ask::ask;
use crate::out::{Ink, bytes, count, plural};
use crate::target::target;
use crate::{End, FAILED, Session};

/// How many outputs are read at once.
const AT_ONCE: usize = 16;
/// How often it is said how far it is.
const NEWS: Duration = Duration::from_secs(2);

/// What was found of one output.
struct Checked {
    path: String,
    state: OutputState,
    is_repaired: bool,
}

/// Reads every output, and names those that are not what was written.
pub(super) async fn check_outputs(session: &Session) -> Result<(), End> {
    let repairs = session.parsed.flag("repair");
    let entries = session.workspace.objects("").await?;
    let mut paths: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
    paths.retain(|path| !layout::is_own(path));
    paths.sort_unstable();
    let total = paths.len();
    let mut paths = paths.into_iter();
    let mut running = JoinSet::new();
    let mut checked = Vec::with_capacity(total);
    let mut size = 0;
    let mut news = Instant::now() + NEWS;
    loop {
        while running.len() < AT_ONCE
            && let Some(path) = paths.next()
        {
            let output = StoredOutput::of_any_task(&session.workspace, &path);
            running.spawn(check(output, repairs));
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let done = done.map_err(|error| End::new(FAILED, format!("error: {error}")))??;
        size += stored_bytes(&done.state).unwrap_or(0);
        checked.push(done);
        if Instant::now() >= news && !session.out.is_json {
            news = Instant::now() + NEWS;
            let (done, total) = (count(checked.len()), count(total));
            eprintln!("checked {done} of {total} outputs, {}", bytes(size));
        }
    }
    checked.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    tell(session, &checked, size)
}

async fn check(output: StoredOutput, repairs: bool) -> Result<Checked, Error> {
    let is_repaired = repairs && output.repair().await?;
    let mut state = output.state().await?;
    if let OutputState::Complete { bytes, provenance } = &state {
        match output.verify().await {
            Err(Error::Mismatch { .. }) => {
                let (bytes, provenance) = (*bytes, provenance.clone());
                state = OutputState::Changed { bytes, provenance };
            }
            verified => verified?,
        }
    }
    Ok(Checked {
        path: output.path().to_owned(),
        state,
        is_repaired,
    })
}

fn tell(session: &Session, checked: &[Checked], size: u64) -> Result<(), End> {
    let is_sound = |state: &OutputState| {
        matches!(
            state,
            OutputState::Complete { .. } | OutputState::Unrecorded { .. } | OutputState::Missing
        )
    };
    let repaired = checked.iter().filter(|output| output.is_repaired).count();
    let unsound = checked.iter().filter(|output| !is_sound(&output.state));
    let unsound = unsound.count();
    if session.out.is_json {
        let mut found = Map::new();
        for output in checked {
            let state = shape::output_state(&output.state);
            let of = found.entry(state).or_insert_with(|| json!([]));
            if let Some(of) = of.as_array_mut().filter(|_| state != "complete") {
                of.push(output.path.clone().into());
            }
        }
        found.remove("complete");
        session.out.json(&json!({
            "ok": unsound == 0,
            "outputs": checked.len(),
            "bytes": size,
            "repaired": repaired,
            "found": found,
        }));
    } else {
        for output in checked {
            let (ink, text) = match &output.state {
                OutputState::Complete { .. } => continue,
                state if is_sound(state) => (Ink::Warn, state.to_string()),
                state => (Ink::Bad, state.to_string()),
            };
            let line = format!("{}: {text}", output.path);
            session.out.line(session.out.ink(ink, line));
        }
        session.out.line(format!(
            "{} output{}, {}: {} of them not what was written",
            count(checked.len()),
            plural(checked.len()),
            bytes(size),
            count(unsound),
        ));
        if repaired > 0 {
            session.out.line(format!(
                "recorded again what the run log knows of {} output{}",
                count(repaired),
                plural(repaired)
            ));
        }
        if unsound > 0 {
            session.out.line(
                "hint: `run` makes torn outputs again; put back what was changed, delete it with `rm`, or take it as it is with `accept`",
            );
        }
    }
    if unsound == 0 {
        return Ok(());
    }
    Err(End::silent(FAILED))
}

/// Takes what lies at the path of a task's output for that output.
pub(super) async fn accept(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let Some(task) = &target.task else {
        return Err(End::wrong_use(format!(
            "only the run log knows `{}`: name the task and its parameters",
            target.path
        )));
    };
    let state = target.output.state().await?;
    if !session.out.is_json {
        session
            .out
            .line(format!("{}: {state}", target.output.location()));
    }
    ask(session, &format!("Take it for the output of {task:?}?"))?;
    let accepted = task.accept(&session.workspace).await?;
    if session.out.is_json {
        session.out.json(&json!({
            "path": target.path,
            "bytes": accepted.bytes,
            "blake3": accepted.blake3(),
        }));
    } else {
        let hash = accepted.blake3().unwrap_or_default();
        session.out.line(format!(
            "accepted: {}, BLAKE3 {hash}",
            bytes(accepted.bytes)
        ));
        session
            .out
            .line("what other tasks made of it before stays: --rerun TASK makes theirs again");
    }
    Ok(())
}
