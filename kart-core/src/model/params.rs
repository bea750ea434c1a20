//! The parameters of one task as canonical JSON, for its key and for telling it from others.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dep::Dep;
use super::secrets::{Redactor, SecretLeaves};
use super::task::DynTask;
use crate::error::{Error, catch_panic};
use crate::key::{Key, canonical};

/// What a task's parameter can be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a task's parameter",
    label = "not a parameter type",
    note = "a parameter is `Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static`; what is neither stored nor part of the key is a `#[resource]`",
    note = "the attempt's own `Context` is `#[context] cx: &Context`; a `Dep<T>` field comes of `#[requires] value: &T`"
)]
pub trait Param: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static> Param for T {}

/// Puts the bound of a parameter where its type is written.
pub const fn assert_param<T: Param>() {}

/// Collects a task's parameters in the order of their names.
#[derive(Debug, Default)]
pub struct Params {
    /// The members of the canonical `params` object, without its braces.
    members: Vec<u8>,
    /// What tells two tasks of one key apart: insignificant parameters and chosen tasks.
    aside: Vec<u8>,
    /// The parameter that is being read.
    current: &'static str,
    error: Option<(&'static str, String)>,
    /// Where only what is secret is read: what was found.
    secrets: Option<SecretLeaves>,
}

impl Params {
    /// A parameter that is part of the key.
    pub fn param<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        if self.secrets.is_some() {
            return;
        }
        if !self.members.is_empty() {
            self.members.push(b',');
        }
        self.current = name;
        canonical::write_str(&mut self.members, name);
        self.members.push(b':');
        if let Err(error) = canonical::write(&mut self.members, value) {
            self.fail(name, error.to_string());
        }
    }

    /// A parameter that is part of the key and shown to nobody.
    pub fn secret<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        match &mut self.secrets {
            Some(secrets) => secrets.read(value),
            None => self.param(name, value),
        }
    }

    /// A parameter that is not part of the key.
    pub fn insignificant<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        if self.secrets.is_some() {
            return;
        }
        self.current = name;
        canonical::write_str(&mut self.aside, name);
        if let Err(error) = canonical::write(&mut self.aside, value) {
            self.fail(name, error.to_string());
        }
    }

    /// The tasks that the caller chose for a required parameter.
    pub fn dep<P>(&mut self, name: &'static str, dep: &Dep<P>) {
        if let Some(secrets) = &mut self.secrets {
            secrets.tasks.extend(dep.tasks().iter().cloned());
            return;
        }
        canonical::write_str(&mut self.aside, name);
        self.aside.extend_from_slice(dep.fingerprint().as_bytes());
    }

    fn fail(&mut self, name: &'static str, reason: String) {
        self.error.get_or_insert((name, reason));
    }

    /// Reads the parameters of `task` in place of what was here.
    pub(crate) fn read(&mut self, task: &dyn DynTask) -> Result<(), Error> {
        self.members.clear();
        self.aside.clear();
        self.error = None;
        if let Err(panic) = catch_panic(|| task.params(self)) {
            self.fail(self.current, panic);
        }
        match self.error.take() {
            None => Ok(()),
            Some((param, reason)) => Err(Error::Key {
                task: task.spec().name.to_owned(),
                param: param.to_owned(),
                reason: Redactor::of(task).redact(reason),
            }),
        }
    }

    /// Reads the secret parameters of `task`, and of the tasks that are its parameters, each by itself: one that has
    /// no canonical form hides no other.
    pub(crate) fn secrets(task: &dyn DynTask) -> SecretLeaves {
        let mut params = Params {
            secrets: Some(SecretLeaves::default()),
            ..Params::default()
        };
        task.params(&mut params);
        let mut read = HashSet::new();
        while let Some(next) = params
            .secrets
            .as_mut()
            .and_then(|secrets| secrets.tasks.pop())
        {
            if read.insert(Arc::as_ptr(&next).cast::<()>()) {
                next.params(&mut params);
            }
        }
        params.secrets.unwrap_or_default()
    }

    /// The members of the canonical `params` object, without its braces.
    pub(crate) fn members(&self) -> &[u8] {
        &self.members
    }

    /// Equal for equal tasks, different for all others. Unlike the key it knows of insignificant
    /// parameters, and it is found without expanding anything.
    pub(crate) fn fingerprint(&self, name: &str) -> Key {
        let mut hasher = crate::key::KeyHasher::default();
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(&self.members);
        hasher.update(&[0]);
        hasher.update(&self.aside);
        hasher.finish()
    }
}
