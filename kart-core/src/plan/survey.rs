//! What is missing, and why: the root is asked first, and below a complete task nothing is asked.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use super::graph::Graph;
use crate::error::{Error, StoreError};
use crate::key::Key;
use crate::model::{NodeId, linked};
use crate::workspace::Workspace;

/// What a run has to do about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Nothing that is missing needs it, so nobody asked.
    NotNeeded,
    /// Its output is there.
    Complete,
    /// Its output is not there.
    Missing,
    /// Its path has no key, and what is there was made by another version, by other parameters, or
    /// by a run that was cut off while writing it.
    OutOfDate,
    /// It was asked to run again.
    RerunRequested,
    /// Other code made its output, and that is to be made again.
    CodeChanged,
    /// It was complete, but something that it requires was asked to run again.
    Downstream,
}

impl Status {
    /// Whether there is nothing to do because the output is there.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self == Status::Complete
    }

    /// Whether the task has to run.
    #[must_use]
    pub fn runs(self) -> bool {
        !matches!(self, Status::NotNeeded | Status::Complete)
    }

    /// Whether the task runs although its output may be there.
    pub(crate) fn replaces(self) -> bool {
        matches!(
            self,
            Status::RerunRequested | Status::CodeChanged | Status::Downstream
        )
    }
}

/// Which tasks run again although their output exists.
#[derive(Clone, Debug, Default)]
pub(crate) enum Rerun {
    /// None.
    #[default]
    None,
    /// All that the run comes to.
    All,
    /// Those of these names, and all that depends on them. A name is the whole stable name of a
    /// task or the last part of it.
    Named(Vec<String>),
}

impl Rerun {
    fn names(&self, name: &str) -> bool {
        match self {
            Rerun::None => false,
            Rerun::All => true,
            Rerun::Named(names) => names.iter().any(|wanted| matches_name(wanted, name)),
        }
    }

    /// The names that stand for no task of the graph, nor for any that a body could ask for.
    pub(crate) fn unknown(&self, graph: &Graph) -> Vec<String> {
        let Rerun::Named(names) = self else {
            return Vec::new();
        };
        let unknown = |wanted: &&String| {
            !graph
                .nodes()
                .map(|node| node.task.spec())
                .chain(linked())
                .any(|spec| matches_name(wanted, spec.name))
        };
        names.iter().filter(unknown).cloned().collect()
    }
}

fn matches_name(wanted: &str, name: &str) -> bool {
    name == wanted
        || name
            .strip_suffix(wanted)
            .is_some_and(|above| above.ends_with('/'))
}

/// The companion of an output whose path has no key: it names the key that wrote it.
pub(crate) fn companion(path: &str) -> String {
    format!("_kart/paths/{path}.key")
}

/// The companion's text while the output is being written.
pub(crate) fn pending(key: Key) -> String {
    format!("pending {key}")
}

/// Follows a survey as it goes.
pub(crate) trait Watch: Sync {
    /// A level has been asked about, and it goes on with what that requires.
    fn level(&self, asked: &[NodeId], needs: &[Status]);
}

/// Nobody does.
impl Watch for () {
    fn level(&self, _: &[NodeId], _: &[Status]) {}
}

/// Finds what each task of the graph needs, indexed as the graph's nodes. Of the roots in `absent` the outputs were
/// not there a moment ago: what they require is asked for along with them.
pub(crate) async fn survey(
    graph: &Graph,
    workspace: &Workspace,
    rerun: &Rerun,
    changed: &HashSet<NodeId>,
    absent: &[NodeId],
    watch: &dyn Watch,
) -> Result<Vec<Status>, Error> {
    let mut needs = vec![Status::NotNeeded; graph.len()];
    mark_reruns(graph, rerun, changed, &mut needs);
    let mut reached = vec![false; graph.len()];
    let mut level: Vec<NodeId> = Vec::new();
    reach(graph.roots.iter().copied(), &mut reached, &mut level);
    for root in absent {
        let mut below = Vec::new();
        graph
            .node(*root)
            .for_each_requirement(|required| below.push(required));
        reach(below, &mut reached, &mut level);
    }
    let mut is_first = true;
    while !level.is_empty() {
        let (marked, unknown): (Vec<NodeId>, Vec<NodeId>) =
            level.drain(..).partition(|node| needs[node.index()].runs());
        for (node, need) in ask(graph, unknown.clone(), workspace).await? {
            needs[node.index()] = need;
        }
        let is_made = |root: &NodeId| !needs[root.index()].runs();
        if std::mem::take(&mut is_first) && absent.iter().any(is_made) {
            // Somebody has made it meanwhile, and what it requires may be no business of this run.
            return Box::pin(survey(graph, workspace, rerun, changed, &[], watch)).await;
        }
        let asked = [marked, unknown].concat();
        for &node in &asked {
            if needs[node.index()].runs() {
                let mut below = Vec::new();
                graph
                    .node(node)
                    .for_each_requirement(|required| below.push(required));
                reach(below, &mut reached, &mut level);
            }
        }
        if !level.is_empty() {
            watch.level(&asked, &needs);
        }
    }
    for (need, reached) in needs.iter_mut().zip(reached) {
        if !reached {
            *need = Status::NotNeeded;
        }
    }
    Ok(needs)
}

/// Finds what those tasks need that `root` comes to and that nobody has asked about before.
pub(crate) async fn survey_below(
    root: NodeId,
    graph: &Graph,
    workspace: &Workspace,
    rerun: &Rerun,
    known: &RwLock<Vec<Status>>,
) -> Result<Vec<(NodeId, Status)>, Error> {
    let mut marks = HashMap::new();
    if !matches!(rerun, Rerun::None) {
        let mut needs = vec![Status::NotNeeded; graph.len()];
        mark_reruns(graph, rerun, &HashSet::new(), &mut needs);
        marks.extend(graph.ids().zip(needs).filter(|(_, need)| need.runs()));
    }
    let mut found = Vec::new();
    let mut reached = HashSet::from([root]);
    let mut level = vec![root];
    while !level.is_empty() {
        {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            level.retain(|node| {
                known
                    .get(node.index())
                    .is_none_or(|need| *need == Status::NotNeeded)
            });
        }
        let (marked, unknown): (Vec<NodeId>, Vec<NodeId>) =
            level.drain(..).partition(|node| marks.contains_key(node));
        let marked = marked.into_iter().map(|node| (node, marks[&node]));
        let answers = marked.chain(ask(graph, unknown, workspace).await?);
        for (node, need) in answers {
            found.push((node, need));
            if need.runs() {
                graph.node(node).for_each_requirement(|below| {
                    level.extend(reached.insert(below).then_some(below));
                });
            }
        }
    }
    Ok(found)
}

fn reach(nodes: impl IntoIterator<Item = NodeId>, reached: &mut [bool], level: &mut Vec<NodeId>) {
    for node in nodes {
        if !std::mem::replace(&mut reached[node.index()], true) {
            level.push(node);
        }
    }
}

/// Marks what was asked to run again, and all that depends on it. A graph's nodes stand in no
/// order that helps, so the marks are carried upwards along reversed edges.
fn mark_reruns(graph: &Graph, rerun: &Rerun, changed: &HashSet<NodeId>, needs: &mut [Status]) {
    if matches!(rerun, Rerun::None) && changed.is_empty() {
        return;
    }
    let mut dependents: Vec<Vec<NodeId>> = vec![Vec::new(); graph.len()];
    let mut marked = Vec::new();
    for id in graph.ids() {
        graph
            .node(id)
            .for_each_requirement(|required| dependents[required.index()].push(id));
        let spec = graph.node(id).task.spec();
        let need = match (rerun.names(spec.name), changed.contains(&id)) {
            _ if spec.external => continue,
            (true, _) => Status::RerunRequested,
            (_, true) => Status::CodeChanged,
            _ => continue,
        };
        needs[id.index()] = need;
        marked.push(id);
    }
    while let Some(id) = marked.pop() {
        for &dependent in &dependents[id.index()] {
            if needs[dependent.index()] == Status::NotNeeded {
                needs[dependent.index()] = Status::Downstream;
                marked.push(dependent);
            }
        }
    }
}

/// Asks the workspace about these tasks, all in flight together with a bound.
pub(crate) async fn ask(
    graph: &Graph,
    nodes: Vec<NodeId>,
    workspace: &Workspace,
) -> Result<Vec<(NodeId, Status)>, Error> {
    let paths = nodes
        .iter()
        .map(|&node| graph.node(node).path())
        .collect::<Result<Vec<String>, Error>>()?;
    let unkeyed: Vec<(usize, String)> = nodes
        .iter()
        .zip(&paths)
        .enumerate()
        .filter(|(_, (node, _))| !graph.node(**node).task.spec().is_keyed())
        .map(|(at, (_, path))| (at, companion(path)))
        .collect();
    let exists = workspace.exists_many(paths).await?;
    let mut needs: Vec<(NodeId, Status)> = nodes
        .into_iter()
        .zip(exists)
        .map(|(node, exists)| {
            (
                node,
                if exists {
                    Status::Complete
                } else {
                    Status::Missing
                },
            )
        })
        .collect();
    let there: Vec<(usize, String)> = unkeyed
        .into_iter()
        .filter(|(at, _)| needs[*at].1.is_complete())
        .collect();
    let companions = there
        .iter()
        .map(|(_, companion)| companion.clone())
        .collect();
    let companions = workspace.read_many(companions).await;
    for ((at, _), companion) in there.into_iter().zip(companions) {
        let key = graph.node(needs[at].0).key;
        if is_out_of_date(companion, key)? {
            needs[at].1 = Status::OutOfDate;
        }
    }
    Ok(needs)
}

/// An output without a companion was put there by someone else, and is kept.
fn is_out_of_date(
    companion: Result<Option<bytes::Bytes>, StoreError>,
    key: Key,
) -> Result<bool, StoreError> {
    Ok(companion?.is_some_and(|text| text.trim_ascii() != key.to_string().as_bytes()))
}
