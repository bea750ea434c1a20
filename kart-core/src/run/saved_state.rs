//! Saved state that nobody will resume: it was saved for a complete output, or belongs to a rerun that is over. A process
//! that ends between publishing and its clean-up leaves it, and a request that arrives late.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::try_join_all;

use super::reruns;
use crate::error::{StoreError, chain};
use crate::key::Key;
use crate::lease::path_key;
use crate::plan::Graph;
use crate::run_id::RunId;
use crate::workspace::{
    Maker, Making, ObjectInfo, OutputAddress, OutputState, SavedObject, Workspace, layout,
};

/// Of so many tasks that a run does not know it reads which output their saved state is for. The next run reads that of
/// others.
const UNKNOWN_TASKS: usize = 256;

/// No header is longer.
const HEADER_BYTES: u64 = 16 << 10;

/// What is saved, by task.
type ByKey = BTreeMap<Key, Vec<ObjectInfo>>;

impl Workspace {
    /// Returns the objects that bodies have saved for their resumption and that nobody resumes any more: the output is
    /// complete, or the rerun that they were saved for is over. Those of a task that a process holds are left out.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn finished_saved_state(&self) -> Result<Vec<ObjectInfo>, StoreError> {
        let saved = by_key(self.objects(layout::STEPS).await?);
        finished(self, saved, |_| None, usize::MAX).await
    }
}

/// Deletes the saved state that nobody resumes any more. Lists it while the run leaves the workspace, and deletes it
/// afterwards: then the claims of the dead are gone.
pub(crate) async fn sweep(workspace: &Workspace, graph: &Graph, leaving: impl Future<Output = ()>) {
    let (listed, ()) = tokio::join!(workspace.objects(layout::STEPS), leaving);
    let address = |key| graph.node(graph.find(key)?).address().ok();
    let swept = async {
        let finished = finished(workspace, by_key(listed?), address, UNKNOWN_TASKS).await?;
        try_join_all(finished.iter().map(|saved| workspace.delete(&saved.path))).await
    };
    if let Err(error) = swept.await {
        let error = chain(&error);
        tracing::debug!(error, "failed to sweep saved state");
    }
}

fn by_key(saved: Vec<ObjectInfo>) -> ByKey {
    let mut by_key = ByKey::new();
    for saved in saved {
        if let Some(key) = layout::steps_at(&saved.path) {
            by_key.entry(key).or_default().push(saved);
        }
    }
    by_key
}

/// Returns what of the saved state nobody resumes. `known` gives the output of a task, if the caller knows it.
async fn finished(
    workspace: &Workspace,
    saved: ByKey,
    known: impl Fn(Key) -> Option<OutputAddress>,
    most_unknown: usize,
) -> Result<Vec<ObjectInfo>, StoreError> {
    if saved.is_empty() {
        return Ok(Vec::new());
    }
    let addresses = addresses(workspace, &saved, known, most_unknown).await?;
    // Claims first: a task that somebody claims afterwards has nothing saved yet for the making that it begins.
    let claims = workspace.list(layout::CLAIMS).await?;
    let claimed = claims.iter().filter_map(|path| layout::claim_at(path));
    let claimed: HashSet<Key> = claimed.map(|(key, _)| key).collect();
    let is_claimed = |key: Key, address: Option<&OutputAddress>| {
        let path = address.map(|address| path_key(&address.path));
        claimed.contains(&key) || path.is_some_and(|path| claimed.contains(&path))
    };
    let outputs = outputs(workspace, &addresses).await?;
    let is_rerun = |saved: &ObjectInfo| rerun(saved).is_some();
    let unfinished = if saved.values().flatten().any(is_rerun) {
        reruns::unfinished(workspace).await?
    } else {
        HashSet::new()
    };
    let mut finished = Vec::new();
    for (key, saved) in saved {
        if is_claimed(key, addresses.get(&key)) {
            continue;
        }
        let is_finished = |saved: &ObjectInfo| match rerun(saved) {
            Some(rerun) => !unfinished.contains(&rerun) || is_made(outputs.get(&key), rerun),
            None => outputs.get(&key).is_some_and(OutputState::is_complete),
        };
        finished.extend(saved.into_iter().filter(is_finished));
    }
    Ok(finished)
}

/// Returns whether an output was made for a rerun.
fn is_made(output: Option<&OutputState>, rerun: RunId) -> bool {
    match output {
        Some(OutputState::Complete { provenance, .. }) => provenance.reruns.contains(&rerun),
        _ => false,
    }
}

fn rerun(saved: &ObjectInfo) -> Option<RunId> {
    match layout::making_at(&saved.path) {
        Some(Making::Rerun(rerun)) => Some(rerun),
        _ => None,
    }
}

/// Returns where the outputs are that state was saved for: what was saved says so itself.
async fn addresses(
    workspace: &Workspace,
    saved: &ByKey,
    known: impl Fn(Key) -> Option<OutputAddress>,
    most_unknown: usize,
) -> Result<HashMap<Key, OutputAddress>, StoreError> {
    let mut addresses = HashMap::new();
    let mut unknown = Vec::new();
    for (key, saved) in saved {
        match known(*key) {
            Some(address) => drop(addresses.insert(*key, address)),
            None => unknown.push((*key, saved)),
        }
    }
    if unknown.len() > most_unknown {
        fastrand::shuffle(&mut unknown);
        unknown.truncate(most_unknown);
    }
    let read = unknown.into_iter().map(|(key, saved)| async move {
        for object in saved.iter().filter(|object| object.bytes > 0) {
            let range = 0..object.bytes.min(HEADER_BYTES);
            let start = workspace.read_range(&object.path, range).await?;
            let path = start.and_then(|start| SavedObject::path_of(&start));
            if let Some(path) = path {
                let address = OutputAddress {
                    path: path.into(),
                    maker: Maker::Task(key),
                };
                return Ok(Some((key, address)));
            }
        }
        Ok::<_, StoreError>(None)
    });
    addresses.extend(try_join_all(read).await?.into_iter().flatten());
    Ok(addresses)
}

/// Returns what lies at the addresses.
async fn outputs(
    workspace: &Workspace,
    addresses: &HashMap<Key, OutputAddress>,
) -> Result<HashMap<Key, OutputState>, StoreError> {
    let (keys, addresses): (Vec<Key>, Vec<OutputAddress>) = addresses
        .iter()
        .map(|(key, address)| (*key, address.clone()))
        .unzip();
    let states = workspace.output_states(&addresses).await?;
    Ok(keys.into_iter().zip(states).collect())
}
