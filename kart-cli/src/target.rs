//! Which task is meant: by its name and parameters, by its key, or by the path of its output.

use kart_core::{AnyTask, Key, ParamKind, Plan, StoredOutput, TaskRecord, registry};

use crate::out::nearest;
use crate::{End, Session, params};

/// A task that was named.
pub(crate) struct Target {
    pub(crate) key: Key,
    pub(crate) path: String,
    pub(crate) output: StoredOutput,
    /// The task itself, unless only the run log knows it, and not enough to make it again.
    pub(crate) task: Option<AnyTask>,
}

impl Target {
    fn of(task: AnyTask, session: &Session) -> Result<Self, End> {
        Ok(Target {
            key: task.try_key()?,
            path: task.try_path()?,
            output: task.stored(&session.workspace)?,
            task: Some(task),
        })
    }
}

/// The task that the command line names.
pub(crate) async fn target(session: &Session) -> Result<Target, End> {
    let Some(named) = session.parsed.get::<String>("target") else {
        return Target::of(params::one(session)?, session);
    };
    let named = below(&named, session.workspace.location()).to_owned();
    if let Some(spec) = registry::tasks()
        .iter()
        .find(|spec| crate::config::is_named(spec, &named))
    {
        return Err(End::wrong_use(format!(
            "the parameters of {} stand after its name",
            spec.name
        )));
    }
    let is_prefix =
        named.len() >= 4 && named.len() <= 32 && named.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_it =
        |key: Key, path: &str| path == named || (is_prefix && key.to_string().starts_with(&named));
    let mut found: Vec<Target> = Vec::new();
    if let Ok(roots) = params::default_roots(session) {
        let plan = session.runner.plan_all(roots).await?;
        for planned in plan.tasks() {
            if (is_prefix || planned.task.path() == named)
                && is_it(planned.task.key(), &planned.task.path())
            {
                found.push(Target::of(planned.task.task(), session)?);
            }
        }
    }
    if found.is_empty() {
        let records = session
            .workspace
            .records(|record| is_it(record.key, &record.path))
            .await?;
        for record in records {
            if !found.iter().any(|target| target.key == record.key) {
                found.push(Target {
                    key: record.key,
                    path: record.path.clone(),
                    output: record.stored(&session.workspace),
                    task: rebuilt(&record),
                });
            }
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let linked = registry::tasks();
            let hint = nearest(&named, linked.iter().map(|spec| spec.name));
            Err(End::wrong_use(format!(
                "neither a task nor an output that the run log or {} knows: `{named}`{hint}",
                session.root.name
            )))
        }
        count => {
            let keys: Vec<_> = found
                .iter()
                .take(10)
                .map(|target| format!("\n  {} {}", target.key, target.path))
                .collect();
            Err(End::wrong_use(format!(
                "`{named}` stands for {count} tasks:{}",
                keys.concat()
            )))
        }
    }
}

/// A path as it is shown, within its workspace, as one relative to it.
fn below<'p>(path: &'p str, workspace: &str) -> &'p str {
    let plain = |text: &'p str| text.strip_prefix("./").unwrap_or(text);
    let workspace = workspace.strip_prefix("./").unwrap_or(workspace);
    let path = plain(path);
    let inner = path.strip_prefix(workspace.trim_end_matches('/'));
    inner
        .and_then(|inner| inner.strip_prefix('/'))
        .unwrap_or(path)
}

/// The task of a record, where its parameters are all there and make the same key.
pub(crate) fn rebuilt(record: &TaskRecord) -> Option<AnyTask> {
    let linked = registry::tasks();
    let spec = linked.iter().find(|spec| spec.name == record.task)?;
    let is_whole =
        |kind: ParamKind| matches!(kind, ParamKind::Significant | ParamKind::Insignificant);
    if !spec.params.iter().all(|param| is_whole(param.kind)) {
        return None;
    }
    let task = AnyTask::named(spec.name, record.params.clone()).ok()?;
    (task.try_key().ok()? == record.key).then_some(task)
}

/// The places of those that require each task of a plan.
pub(crate) fn consumers(plan: &Plan) -> Vec<Vec<usize>> {
    let mut consumers = vec![Vec::new(); plan.len()];
    for planned in plan.tasks() {
        for required in planned.task.requires() {
            let of: &mut Vec<usize> = &mut consumers[required.index()];
            if of.last() != Some(&planned.task.index()) {
                of.push(planned.task.index());
            }
        }
    }
    consumers
}
