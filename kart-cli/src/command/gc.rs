//! `gc`: what kart has written and no task needs any more is put in quarantine, and deleted later.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use kart_core::layout::{self, QUARANTINE};
use kart_core::{
    AnyTask, Key, ObjectInfo, OutputState, Plan, RecordedOutcome, RunId, StoredOutput, TaskRecord,
    registry,
};
use serde_json::json;

use super::saved_state;
use crate::ask::ask;
use crate::out::{bytes, plural, time};
use crate::target::rebuilt;
use crate::{End, Session, params};

/// Unless said otherwise.
const OLDER_THAN: Duration = Duration::from_hours(7 * 24);
/// How many objects are named.
const SHOWN: usize = 20;

pub(crate) async fn gc(session: &Session) -> Result<(), End> {
    let older_than = match session.parsed.get::<String>("older-than") {
        Some(text) => humantime::parse_duration(&text).map_err(|error| {
            End::wrong_use(format!(
                "invalid value '{text}' for '--older-than <DURATION>': {error}"
            ))
        })?,
        None => OLDER_THAN,
    };
    let before = SystemTime::now()
        .checked_sub(older_than)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    if session.parsed.flag("delete") {
        return delete(session, before).await;
    }
    let Found { garbage, foreign } = find(session, before).await?;
    let total: u64 = garbage.iter().map(|entry| entry.bytes).sum();
    let is_dry = !session.parsed.flag("quarantine");
    if !session.out.is_json {
        tell(session, &garbage);
        session.out.line(format!(
            "{} object{}, {}, that no task needs and that {} older than {}",
            garbage.len(),
            plural(garbage.len()),
            bytes(total),
            if garbage.len() == 1 { "is" } else { "are" },
            humantime::format_duration(older_than),
        ));
        if foreign > 0 {
            session.out.line(format!(
                "{foreign} object{} of tasks that are not linked into this program, or changed since, left alone",
                plural(foreign)
            ));
        }
    }
    if !is_dry && !garbage.is_empty() {
        ask(
            session,
            &format!(
                "Move {} object{} to {QUARANTINE}/?",
                garbage.len(),
                plural(garbage.len())
            ),
        )?;
        // Two that begin in one second do not meet.
        let at = time(SystemTime::now()).replace(':', "");
        let at = format!("{at}-{}", RunId::now());
        for entry in &garbage {
            session
                .workspace
                .rename(&entry.path, &layout::quarantined(&at, &entry.path))
                .await?;
        }
        session.workspace.abort_stale_uploads().await?;
    }
    if session.out.is_json {
        let paths: Vec<_> = garbage.iter().map(|entry| json!({"path": entry.path, "bytes": entry.bytes, "modified": time(entry.modified)})).collect();
        session.out.json(
            &json!({"dry_run": is_dry, "bytes": total, "objects": paths, "not_linked": foreign}),
        );
    } else if is_dry && !garbage.is_empty() {
        session.out.line("nothing was moved: --quarantine moves it out of the way, and `gc --delete` deletes that later");
    } else if !is_dry && !garbage.is_empty() {
        session.out.line(format!(
            "moved to {}",
            session.workspace.display_url(QUARANTINE)
        ));
    }
    Ok(())
}

fn tell(session: &Session, garbage: &[ObjectInfo]) {
    for entry in garbage.iter().take(SHOWN) {
        session.out.line(format!(
            "{}  {:>10}  {}",
            time(entry.modified),
            bytes(entry.bytes),
            entry.path
        ));
    }
    if garbage.len() > SHOWN {
        session
            .out
            .line(format!("… and {} more", garbage.len() - SHOWN));
    }
}

/// Deletes what has been in quarantine since before that moment.
async fn delete(session: &Session, before: SystemTime) -> Result<(), End> {
    let entries = session.workspace.objects(QUARANTINE).await?;
    let is_old = |entry: &ObjectInfo| quarantined(entry).is_some_and(|at| at <= before);
    let old: Vec<ObjectInfo> = entries.into_iter().filter(is_old).collect();
    let total: u64 = old.iter().map(|entry| entry.bytes).sum();
    if !session.out.is_json {
        tell(session, &old);
        session.out.line(format!(
            "{} object{} in quarantine, {}",
            old.len(),
            plural(old.len()),
            bytes(total)
        ));
    }
    if !old.is_empty() {
        ask(
            session,
            &format!("Delete {} object{} for good?", old.len(), plural(old.len())),
        )?;
        for entry in &old {
            session.workspace.delete(&entry.path).await?;
        }
    }
    if session.out.is_json {
        session
            .out
            .json(&json!({"deleted": old.len(), "bytes": total}));
    } else if !old.is_empty() {
        session.out.line(format!("deleted {}", bytes(total)));
    }
    Ok(())
}

/// When an object came into quarantine: its path says so.
fn quarantined(entry: &ObjectInfo) -> Option<SystemTime> {
    let at = layout::quarantined_at(&entry.path)?;
    let (date, clock) = at.split_once('T')?;
    let (clock, _) = clock.split_once('Z')?;
    let text = format!(
        "{date}T{}:{}:{}Z",
        clock.get(0..2)?,
        clock.get(2..4)?,
        clock.get(4..6)?
    );
    humantime::parse_rfc3339(&text).ok()
}

/// What no task needs, and what is not this program's to judge.
struct Found {
    /// Outputs before what belongs to them, so that an end in between leaves no output without it.
    garbage: Vec<ObjectInfo>,
    /// How many objects tasks have written that are not linked into this program.
    foreign: usize,
}

/// Finds the objects that kart has written and that no task below the roots needs.
async fn find(session: &Session, before: SystemTime) -> Result<Found, End> {
    let roots = params::all_roots(session)?;
    // Listed first, so that what is made meanwhile is not among them.
    let entries = session.workspace.objects("").await?;
    let records = session.workspace.records(|_| true).await?;
    let needed = needed(session, roots, &records).await?;
    let finished = saved_state::finished(session).await?;
    let linked: HashSet<&str> = registry::tasks().iter().map(|spec| spec.name).collect();
    let names = |record: &TaskRecord| linked.contains(record.task.as_str());
    // The newest record of a path comes first: it says who made what is there.
    let mut is_linked_at: HashMap<&str, bool> = HashMap::new();
    let mut is_linked_of: HashMap<Key, bool> = HashMap::new();
    for record in &records {
        is_linked_of.entry(record.key).or_insert(names(record));
        if record.outcome == RecordedOutcome::Ran {
            is_linked_at.entry(&record.path).or_insert(names(record));
        }
    }
    let mut found = Found {
        garbage: Vec::new(),
        foreign: 0,
    };
    for entry in &entries {
        let path = entry.path.as_str();
        let of = layout::sidecar_of(path);
        let (is_needed, is_linked) = match layout::steps_at(path) {
            Some(key) => {
                let is_needed = needed.keys.contains(&key) && !finished.contains(path);
                (is_needed, is_linked_of.get(&key))
            }
            None if of.is_none() && layout::is_own(path) => continue,
            None => {
                let output = of.as_deref().unwrap_or(path);
                (needed.paths.contains(output), is_linked_at.get(output))
            }
        };
        match is_linked {
            _ if is_needed || entry.modified > before => {}
            Some(true) => found.garbage.push(entry.clone()),
            Some(false) => found.foreign += 1,
            // Only kart writes there, and nobody knows who it was.
            None if layout::is_own(path) => found.foreign += 1,
            None => {}
        }
    }
    keep_what_others_put_there(session, &mut found).await?;
    found
        .garbage
        .sort_by_key(|entry| layout::is_own(&entry.path));
    Ok(found)
}

/// Leaves what the log takes for an output of this program and what lies there does not: somebody else's by now.
async fn keep_what_others_put_there(session: &Session, found: &mut Found) -> Result<(), End> {
    let is_output = |entry: &&ObjectInfo| !layout::is_own(&entry.path);
    let paths = found
        .garbage
        .iter()
        .filter(is_output)
        .map(|entry| &entry.path);
    let outputs = paths.map(|path| StoredOutput::of_any_task(&session.workspace, path));
    let outputs: Vec<StoredOutput> = outputs.collect();
    let states = StoredOutput::states(&outputs).await?;
    let linked: HashSet<&str> = registry::tasks().iter().map(|spec| spec.name).collect();
    let is_ours = |state: &OutputState| match state {
        OutputState::Complete { provenance, .. } | OutputState::Torn { provenance, .. } => {
            linked.contains(provenance.task.as_str())
        }
        OutputState::Unfinished => true,
        _ => false,
    };
    let others = outputs
        .iter()
        .zip(&states)
        .filter(|(_, state)| !is_ours(state));
    let others: HashSet<&str> = others.map(|(output, _)| output.path()).collect();
    let before = found.garbage.len();
    found
        .garbage
        .retain(|entry| !others.contains(entry.path.as_str()));
    found.foreign += before - found.garbage.len();
    Ok(())
}

/// What tasks need.
#[derive(Default)]
struct Needed {
    keys: HashSet<Key>,
    paths: HashSet<String>,
}

impl Needed {
    /// Takes a plan's tasks in; gives the keys that are new.
    fn add(&mut self, plan: &Plan) -> Vec<Key> {
        let mut new = Vec::new();
        for planned in plan.tasks() {
            if self.keys.insert(planned.task.key()) {
                self.paths.insert(planned.task.path());
                new.push(planned.task.key());
            }
        }
        new
    }
}

/// All that the roots come to: what they require, and what bodies have asked for when they ran.
async fn needed(
    session: &Session,
    roots: Vec<AnyTask>,
    records: &[TaskRecord],
) -> Result<Needed, End> {
    let mut of_key: HashMap<Key, Vec<&TaskRecord>> = HashMap::new();
    let ran = |record: &&TaskRecord| record.outcome == RecordedOutcome::Ran;
    for record in records.iter().filter(ran) {
        of_key.entry(record.key).or_default().push(record);
    }
    let mut needed = Needed::default();
    let mut open = needed.add(&session.runner.plan_all(roots).await?);
    while let Some(key) = open.pop() {
        for record in of_key.get(&key).into_iter().flatten() {
            for asked in record
                .asked
                .iter()
                .filter(|asked| !needed.keys.contains(*asked))
                .collect::<Vec<_>>()
            {
                open.extend(reach(session, *asked, &of_key, &mut needed).await?);
            }
        }
    }
    Ok(needed)
}

/// A task that a body has asked for, and all that it requires; gives the keys that are new.
async fn reach(
    session: &Session,
    asked: Key,
    of_key: &HashMap<Key, Vec<&TaskRecord>>,
    needed: &mut Needed,
) -> Result<Vec<Key>, End> {
    let records = of_key.get(&asked).map_or(&[][..], Vec::as_slice);
    if let Some(task) = records.iter().find_map(|record| rebuilt(record)) {
        return Ok(needed.add(&session.runner.plan_all([task]).await?));
    }
    needed.keys.insert(asked);
    let mut new = vec![asked];
    for record in records {
        needed.paths.insert(record.path.clone());
        if record.requires.len() < record.required {
            return Err(End::wrong_use(format!(
                "it is not known what {} requires, which a body asked for: name it by --root",
                kart_view::shape::described(record)
            )));
        }
        for required in &record.requires {
            if needed.keys.insert(*required) {
                needed.paths.extend(
                    of_key
                        .get(required)
                        .into_iter()
                        .flatten()
                        .map(|record| record.path.clone()),
                );
                new.push(*required);
            }
        }
    }
    Ok(new)
}
