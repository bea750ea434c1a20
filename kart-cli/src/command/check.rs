//! `check`: whether a run would find all that it needs.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kart_core::layout::CHECK;
use kart_core::{
    AnyTask, CreateOutcome, ParamKind, ParamSpec, RunError, StoreError, chain, registry,
};
use serde_json::json;

use crate::out::{Ink, count, duration, plural};
use crate::{End, FAILED, Session, WRONG_USE, params};

/// A clock that is further off is worth a warning.
const SKEW: Duration = Duration::from_mins(1);

/// What came of one check.
struct Checked {
    what: &'static str,
    result: Result<String, (u8, String)>,
}

pub(crate) async fn check(session: &Session) -> Result<(), End> {
    let mut checks = vec![Checked {
        what: "tasks",
        result: Ok(format!(
            "{} are linked, each with a name of its own",
            registry::tasks().len()
        )),
    }];
    checks.push(Checked {
        what: "requirements",
        result: requirements(session).await,
    });
    checks.push(Checked {
        what: "paths",
        result: Ok(paths()),
    });
    let workspace = workspace(session).await;
    let modified = workspace.as_ref().ok().copied().flatten();
    checks.push(Checked {
        what: "workspace",
        result: workspace.map(|_| {
            format!(
                "{} takes, gives back and deletes objects, and creates none over another",
                session.workspace.location()
            )
        }),
    });
    if let Some(modified) = modified {
        checks.push(Checked {
            what: "clock",
            result: clock(modified),
        });
    }
    let status = checks
        .iter()
        .filter_map(|check| check.result.as_ref().err())
        .map(|(status, _)| *status)
        .max();
    if session.out.is_json {
        let checks: Vec<_> = checks
            .iter()
            .map(|check| match &check.result {
                Ok(text) => json!({"check": check.what, "ok": true, "text": text}),
                Err((_, text)) => json!({"check": check.what, "ok": false, "text": text}),
            })
            .collect();
        session
            .out
            .json(&json!({"ok": status.is_none(), "checks": checks}));
    } else {
        for check in &checks {
            let (mark, text) = match &check.result {
                Ok(text) => (session.out.ink(Ink::Good, "ok    "), text),
                Err((_, text)) => (session.out.ink(Ink::Bad, "failed"), text),
            };
            session.out.line(format!(
                "{mark} {:<13} {}",
                check.what,
                text.replace('\n', "\n       ")
            ));
        }
    }
    status.map_or(Ok(()), |status| Err(End::silent(status)))
}

/// Names the tasks of which several write one path, since it does not hold all that tells them apart.
fn paths() -> String {
    let mut shared = Vec::new();
    for spec in registry::tasks() {
        if spec.external || spec.is_keyed() {
            continue;
        }
        let lacks = |param: &&ParamSpec| {
            param.kind != ParamKind::Insignificant && !spec.path_holds(param.name)
        };
        let missing: Vec<_> = spec.params.iter().filter(lacks).collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing
                .iter()
                .map(|param| format!("`{}`", param.name))
                .collect();
            shared.push(format!("{} without {}", spec.name, names.join(", ")));
        }
    }
    if shared.is_empty() {
        return "each holds every parameter that tells its outputs apart".to_owned();
    }
    format!(
        "each new output replaces the last one where a path lacks a parameter; put them or `{{key}}` into it to keep all:\n{}",
        shared.join("\n")
    )
}

/// Whether all that can be named without further words expands, with a path for each, and has its resources.
async fn requirements(session: &Session) -> Result<String, (u8, String)> {
    let wrong = |end: End| {
        (
            WRONG_USE,
            end.message
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .replace("error: ", ""),
        )
    };
    let roots = params::default_roots(session).map_err(wrong)?;
    let mut tasks = 0;
    let mut kinds = 0;
    let failed = |error: RunError| {
        let status = if matches!(error, RunError::Store(_)) {
            FAILED
        } else {
            WRONG_USE
        };
        (status, format!("{error:#}"))
    };
    let others = registry::tasks();
    let others = others.iter().filter(|spec| {
        !std::ptr::eq(**spec, session.root)
            && spec.params.iter().all(|param| param.default.is_some())
    });
    let others = others.filter_map(|spec| AnyTask::given(spec.name, Vec::new()).ok());
    for roots in std::iter::once(roots).chain(others.map(|task| vec![task])) {
        let plan = session.runner.plan_all(roots).await.map_err(failed)?;
        session.runner.preflight(&plan).map_err(failed)?;
        tasks += plan.len();
        kinds += 1;
    }
    Ok(format!(
        "{} tasks below {kinds} root{} expand, with paths and resources",
        count(tasks),
        plural(kinds)
    ))
}

/// Writes, reads and deletes an object; when the store says that it was written.
async fn workspace(session: &Session) -> Result<Option<SystemTime>, (u8, String)> {
    let workspace = &session.workspace;
    let path = format!("{CHECK}/{}-{}", std::process::id(), now().as_nanos());
    let text = Bytes::from_static(b"written by `check`, and deleted at once");
    let failed = |error: StoreError| (FAILED, chain(&error));
    workspace
        .create(&path, text.clone())
        .await
        .map_err(failed)?;
    let probe = async {
        let read = workspace.read(&path).await?;
        let again = workspace
            .create(&path, Bytes::from_static(b"again"))
            .await?;
        let entries = workspace.objects(CHECK).await?;
        Ok((read, again, entries))
    };
    let probed: Result<_, StoreError> = probe.await;
    let deleted = workspace.delete(&path).await;
    let (read, again, entries) = probed.map_err(failed)?;
    deleted.map_err(failed)?;
    if read.as_ref() != Some(&text) {
        return Err((FAILED, "what was written is not what is read".to_owned()));
    }
    if matches!(again, CreateOutcome::Written) {
        return Err((
            FAILED,
            "the store does not honour create-only writes: let one process at a time run here, with --alone".to_owned(),
        ));
    }
    Ok(entries
        .into_iter()
        .find(|entry| entry.path == path)
        .map(|entry| entry.modified))
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn clock(modified: SystemTime) -> Result<String, (u8, String)> {
    let now = SystemTime::now();
    let skew = now
        .duration_since(modified)
        .or_else(|_| modified.duration_since(now))
        .unwrap_or_default();
    if skew <= SKEW {
        return Ok("this machine and the store agree to a minute".to_owned());
    }
    Err((
        FAILED,
        format!(
            "this machine and the store are {} apart: times in the run log and --older-than are off",
            duration(skew)
        ),
    ))
}
