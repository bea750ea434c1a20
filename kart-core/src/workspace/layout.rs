//! Where kart keeps its own objects: every path below `_kart/`. `docs/storage-layout.md` says what each holds, and who writes,
//! reads and deletes it.

use std::fmt;

use uuid::Uuid;

use super::Making;
use crate::key::Key;
use crate::key::path::encode_segment;
use crate::lease_protocol::ProcessId;
use crate::run_id::RunId;

/// The directory of all that is kart's own.
pub const OWN: &str = "_kart";

/// The run log.
pub(crate) const RUNS: &str = "_kart/runs";
/// The runs of the log that were packed.
pub(crate) const PACKS: &str = "_kart/runs/packs";
/// The claims of all keys.
pub(crate) const CLAIMS: &str = "_kart/claims";
/// The heartbeats of all processes.
pub(crate) const HEARTBEATS: &str = "_kart/workers";
/// What bodies that workers run tell of themselves.
pub(crate) const PROGRESS: &str = "_kart/progress";
/// What bodies have saved.
pub(crate) const STEPS: &str = "_kart/steps";
/// The reruns that are unfinished.
pub(crate) const RERUNS: &str = "_kart/reruns";
/// The uploads that are under way.
pub(super) const UPLOADS: &str = "_kart/uploads";
/// The files of a directory that are being written.
pub(super) const TEMPORARIES: &str = "_kart/tmp";
/// What `gc` has moved out of the way.
pub const QUARANTINE: &str = "_kart/trash";
/// An object that never exists: whoever looks for it hears whether the store answers.
pub const READY: &str = "_kart/ready";
/// What is written to find out what the store can do, and deleted again.
pub const CHECK: &str = "_kart/check";

const SIDECARS: &str = "_kart/paths/";
const SIDECAR: &str = ".key";

/// Returns whether an object is kart's own, and no output.
#[must_use]
pub fn is_own(path: &str) -> bool {
    below(OWN, path).is_some()
}

/// Returns what follows a directory in a path below it.
fn below<'p>(directory: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(directory)?.strip_prefix('/')
}

/// A part of the log of a run.
pub(crate) fn run_segment(run: RunId, number: u32) -> String {
    format!("{RUNS}/{run}/{number:06}.jsonl")
}

/// What a run knew of all runs before it.
pub(crate) fn run_digest(run: RunId) -> String {
    format!("{RUNS}/{run}/known.json")
}

/// The log of many runs.
pub(crate) fn run_pack(first: RunId, last: RunId) -> String {
    format!("{PACKS}/{first}..{last}-{}.jsonl", Uuid::now_v7().simple())
}

/// An object of the run log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunObject {
    Pack,
    Digest(RunId),
    Segment(RunId, u32),
}

impl RunObject {
    pub(crate) fn at(path: &str) -> Option<Self> {
        if below(PACKS, path).is_some() {
            return Some(RunObject::Pack);
        }
        let (run, name) = below(RUNS, path)?.split_once('/')?;
        let run = run.parse().ok()?;
        if name == "known.json" {
            return Some(RunObject::Digest(run));
        }
        let number = name.strip_suffix(".jsonl")?.parse().ok()?;
        Some(RunObject::Segment(run, number))
    }
}

/// All generations of the claim of a key.
pub(crate) fn claims(key: Key) -> String {
    format!("{CLAIMS}/{key}")
}

/// One generation of the claim of a key.
pub(crate) fn claim(key: Key, generation: u64) -> String {
    format!("{CLAIMS}/{key}/{generation}")
}

/// Returns the key of a claim and its generation.
pub(crate) fn claim_at(path: &str) -> Option<(Key, u64)> {
    let (key, generation) = below(CLAIMS, path)?.split_once('/')?;
    Some((key.parse().ok()?, generation.parse().ok()?))
}

/// The heartbeat of a process.
pub(crate) fn heartbeat(process: ProcessId) -> String {
    format!("{HEARTBEATS}/{process}")
}

/// Returns whose heartbeat it is.
pub(crate) fn heartbeat_at(path: &str) -> Option<ProcessId> {
    below(HEARTBEATS, path)?.parse().ok()
}

/// Returns whether an object is a heartbeat.
pub(super) fn is_heartbeat(path: &str) -> bool {
    below(HEARTBEATS, path).is_some()
}

/// All that the bodies of a task have saved.
pub(crate) fn steps(key: Key) -> String {
    format!("{STEPS}/{key}")
}

/// What the bodies of a task have saved for one making of its output.
pub(crate) fn steps_of(key: Key, making: Making) -> String {
    format!("{STEPS}/{key}/{making}")
}

/// A step or a state that a body saves, or the directory of a loop; `ending` says which.
pub(crate) fn step(key: Key, making: Making, name: &str, ending: &str) -> String {
    let name = encode_segment(name);
    format!("{}/{name}.{ending}", steps_of(key, making))
}

/// A chunk of finished items in the directory of their loop.
pub(crate) fn chunk(directory: &str, number: u128) -> String {
    format!("{directory}/{number:032x}.jsonl")
}

/// Returns whose saved state it is.
#[must_use]
pub fn steps_at(path: &str) -> Option<Key> {
    below(STEPS, path)?.split('/').next()?.parse().ok()
}

/// Returns which making saved state belongs to; `None` for what a release before has left.
#[must_use]
pub fn making_at(path: &str) -> Option<Making> {
    let mut parts = below(STEPS, path)?.splitn(3, '/').skip(1);
    let making = parts.next()?.parse().ok()?;
    parts.next().map(|_| making)
}

/// What the bodies of one worker tell of themselves.
pub(crate) fn progress(worker: RunId) -> String {
    format!("{PROGRESS}/{worker}")
}

/// The reruns of the roots of that name.
pub(crate) fn reruns(roots: Key) -> String {
    format!("{RERUNS}/{roots}")
}

/// A rerun of the roots of that name.
pub(crate) fn rerun(roots: Key, id: RunId) -> String {
    format!("{RERUNS}/{roots}/{id}")
}

/// Returns which rerun it is; `None` for what a release before has left.
pub(crate) fn rerun_at(path: &str) -> Option<RunId> {
    let (_, id) = below(RERUNS, path)?.split_once('/')?;
    id.parse().ok()
}

/// The uploads to one place.
pub(super) fn uploads(path: &str) -> String {
    format!("{UPLOADS}/{}", path.replace('/', "%2F"))
}

/// The place of an object in the quarantine that begins at a moment.
pub fn quarantined(at: impl fmt::Display, path: &str) -> String {
    format!("{QUARANTINE}/{at}/{path}")
}

/// Returns the moment at which an object came into quarantine.
#[must_use]
pub fn quarantined_at(path: &str) -> Option<&str> {
    below(QUARANTINE, path)?.split('/').next()
}

/// Returns how many bytes the longest name has at most that kart makes of the path of an output.
pub(super) fn longest(path: &str) -> usize {
    const MOMENT: &str = "2026-01-01T000000Z";
    let folders = path.bytes().filter(|byte| *byte == b'/').count();
    let upload = UPLOADS.len() + 2 + 2 * folders + uuid::fmt::Hyphenated::LENGTH;
    let moved = QUARANTINE.len() + 2 + MOMENT.len();
    let sidecar = SIDECARS.len() + folders + SIDECAR.len();
    path.len() + upload.max(moved).max(sidecar)
}

/// The sidecar of an output.
///
/// On a disk nothing lies below a file, and `x.key` is the sidecar of `x`. So a folder that is called `x.key` gets a `_`
/// at its end, as does one that is called `x.key_`.
pub(crate) fn sidecar(path: &str) -> String {
    let (folders, name) = split(path);
    let folders = folders.map(|folder| {
        let more = if is_like_a_sidecar(folder) { "_" } else { "" };
        format!("{folder}{more}/")
    });
    format!("{SIDECARS}{}{name}{SIDECAR}", folders.collect::<String>())
}

/// Returns the output whose sidecar that is.
#[must_use]
pub fn sidecar_of(sidecar: &str) -> Option<String> {
    let path = sidecar.strip_prefix(SIDECARS)?.strip_suffix(SIDECAR)?;
    let (folders, name) = split(path);
    let folders = folders.map(|folder| {
        let shorter = folder.strip_suffix('_');
        let shorter = shorter.filter(|folder| is_like_a_sidecar(folder));
        format!("{}/", shorter.unwrap_or(folder))
    });
    Some(folders.collect::<String>() + name)
}

/// The folders of a path, and what it is called in the last of them.
fn split(path: &str) -> (impl Iterator<Item = &str>, &str) {
    let (folders, name) = match path.rsplit_once('/') {
        Some((folders, name)) => (Some(folders), name),
        None => (None, path),
    };
    (folders.into_iter().flat_map(|it| it.split('/')), name)
}

fn is_like_a_sidecar(folder: &str) -> bool {
    folder.trim_end_matches('_').ends_with(SIDECAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_sidecar_of_its_own_and_no_folder_is_called_like_one() {
        for (path, expected) in [
            ("x", "_kart/paths/x.key"),
            ("a/x.key", "_kart/paths/a/x.key.key"),
            ("x.key/y", "_kart/paths/x.key_/y.key"),
            ("x.key_/y", "_kart/paths/x.key__/y.key"),
            ("a/.key/x_/y", "_kart/paths/a/.key_/x_/y.key"),
        ] {
            assert_eq!(sidecar(path), expected);
            assert_eq!(sidecar_of(expected).as_deref(), Some(path));
        }
        assert_eq!(sidecar_of("_kart/steps/x.key"), None);
    }

    #[test]
    fn no_name_that_is_made_of_a_path_is_longer_than_the_longest() {
        for path in ["x", "a/b/c.txt", "x.key/y.key/z"] {
            let upload = format!("{}/{}", uploads(path), Uuid::nil());
            let moved = quarantined("2026-01-01T000000Z", path);
            for name in [upload, moved, sidecar(path)] {
                assert!(name.len() <= longest(path), "{name}");
            }
        }
    }

    #[test]
    fn what_is_made_into_a_path_is_read_back_from_it() {
        let (key, run) = (Key::of(b"a"), RunId::now());
        assert_eq!(claim_at(&claim(key, 7)), Some((key, 7)));
        for making in [Making::First, Making::Again, Making::Rerun(run)] {
            let path = step(key, making, "a/b", "step");
            assert_eq!(
                (steps_at(&path), making_at(&path)),
                (Some(key), Some(making))
            );
        }
        assert_eq!(rerun_at(&rerun(key, run)), Some(run));
        assert_eq!(rerun_at(&format!("{RERUNS}/{key}/all/{run}/{key}")), None);
        let process = ProcessId(5);
        assert_eq!(heartbeat_at(&heartbeat(process)), Some(process));
        let segment = RunObject::at(&run_segment(run, 3));
        assert_eq!(segment, Some(RunObject::Segment(run, 3)));
        assert_eq!(
            RunObject::at(&run_digest(run)),
            Some(RunObject::Digest(run))
        );
        assert_eq!(RunObject::at(&run_pack(run, run)), Some(RunObject::Pack));
        assert_eq!(quarantined_at(&quarantined("T", "a/b")), Some("T"));
        assert!(is_own(&sidecar("x")) && !is_own("_kart2/x") && !is_own("x/_kart/y"));
    }
}
