//! The preflight: checks, before anything runs, that the runner has what the tasks need.

use std::collections::{BTreeMap, HashSet};

use crate::model::TaskSpec;
use crate::report::{MissingResource, RunError};
use crate::run::settings::Settings;

/// Checks that tasks of these kinds can run here.
pub(crate) fn check(
    settings: &Settings,
    specs: impl IntoIterator<Item = &'static TaskSpec>,
) -> Result<(), RunError> {
    let mut seen = HashSet::new();
    let specs: Vec<_> = specs
        .into_iter()
        .filter(|spec| seen.insert(std::ptr::from_ref(*spec)))
        .collect();
    if settings.executor.is_none() {
        check_resources(settings, &specs)?;
    }
    specs
        .iter()
        .try_for_each(|spec| check_limits(settings, spec))
}

fn check_resources(settings: &Settings, specs: &[&'static TaskSpec]) -> Result<(), RunError> {
    let mut missing = BTreeMap::new();
    for spec in specs {
        for resource in spec.resources {
            if !settings.resources.contains((resource.type_id)()) {
                missing.insert(
                    (spec.name, resource.name),
                    MissingResource {
                        task: spec.name,
                        parameter: resource.name,
                        type_name: (resource.type_name)(),
                    },
                );
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(RunError::Resources(missing.into_values().collect()))
}

fn check_limits(settings: &Settings, spec: &TaskSpec) -> Result<(), RunError> {
    for &(limit, units) in spec.uses {
        let reason = match settings.limits.get(limit) {
            Some(&available) if units <= available => continue,
            None if settings.executor.is_some() => continue,
            Some(available) => format!("the runner has {available} of it"),
            None => format!("the runner has no such limit: add `.limit(\"{limit}\", N)`"),
        };
        return Err(RunError::Settings(format!(
            "task {} uses {units} of the limit `{limit}`, but {reason}",
            spec.name
        )));
    }
    Ok(())
}
