//! `gc`: what kart has written and no task needs any more is put in quarantine, and deleted later.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use kart_core::layout::{self, QUARANTINE};
use kart_core::{AnyTask, Key, ObjectInfo, Plan, RecordedOutcome, TaskRecord};
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
    let garbage: Vec<ObjectInfo> = garbage(session)
        .await?
        .into_iter()
        .filter(|entry| entry.modified <= before)
        .collect();
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
        let at = time(SystemTime::now()).replace(':', "");
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
        session
            .out
            .json(&json!({"dry_run": is_dry, "bytes": total, "objects": paths}));
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
    let clock = clock.strip_suffix('Z')?;
    let text = format!(
        "{date}T{}:{}:{}Z",
        clock.get(0..2)?,
        clock.get(2..4)?,
        clock.get(4..6)?
    );
    humantime::parse_rfc3339(&text).ok()
}

/// The objects that kart has written and that no task below the roots needs.
async fn garbage(session: &Session) -> Result<Vec<ObjectInfo>, End> {
    let roots = params::all_roots(session)?;
    // Listed first, so that what is made meanwhile is not among them.
    let entries = session.workspace.objects("").await?;
    let records = session
        .workspace
        .records(|record| record.outcome == RecordedOutcome::Ran)
        .await?;
    let needed = needed(session, roots, &records).await?;
    let finished = saved_state::finished(session).await?;
    let sidecars: HashSet<String> = entries
        .iter()
        .filter_map(|entry| layout::sidecar_of(&entry.path))
        .collect();
    let written: HashSet<&str> = records
        .iter()
        .map(|record| record.path.as_str())
        .chain(sidecars.iter().map(String::as_str))
        .collect();
    let is_garbage = |entry: &&ObjectInfo| {
        let path = entry.path.as_str();
        if let Some(of) = layout::sidecar_of(path) {
            return !needed.paths.contains(&of);
        }
        if let Some(key) = layout::steps_at(path) {
            return !needed.keys.contains(&key) || finished.contains(path);
        }
        !layout::is_own(path) && written.contains(path) && !needed.paths.contains(path)
    };
    Ok(entries.iter().filter(is_garbage).cloned().collect())
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
    for record in records {
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
