//! What each part of a sample row is given, and why a type refuses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed};

use super::SchemaError;
use super::sample::Sample;
use super::values::{TEXTS, whole_second};

/// A type within a type within … so often contains itself.
const DEEPEST: usize = 32;

/// What each part of a row is given, by its path.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Which of the possible samples; the first unless it was refused.
    choices: BTreeMap<String, usize>,
    /// Other names of fields that were given already.
    aliases: BTreeSet<String>,
    /// Parts whose other choices must show the same columns, and how many there are.
    varied: BTreeMap<String, usize>,
    /// Parts that are texts.
    texts: BTreeSet<String>,
    path: String,
    depth: usize,
    /// The part that was given a sample last, and how many there are for it.
    last: Option<(String, usize)>,
    /// The field that was named last.
    last_field: String,
    /// Why a part has refused its first sample.
    reasons: BTreeMap<String, String>,
    /// Why no other sample helps.
    failed: Option<SchemaError>,
}

impl Samples {
    /// Makes a row; gives `None` if it was refused, and another may not be.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SchemaError> {
        let error = match self.make() {
            Ok(row) => return Ok(Some(row)),
            Err(error) => error,
        };
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if let Refused::Duplicate = error {
            let is_new = self.aliases.insert(self.last_field.clone());
            return if is_new {
                Ok(None)
            } else {
                Err(SchemaError::new("", error.to_string()))
            };
        }
        let Some((path, count)) = self.last.take() else {
            return Err(SchemaError::new("", error.to_string()));
        };
        let choice = self.choices.entry(path.clone()).or_default();
        *choice += 1;
        let reason = self.reasons.entry(path.clone());
        let reason = reason.or_insert_with(|| error.to_string());
        if *choice < count {
            Ok(None)
        } else {
            Err(SchemaError::new(path, reason.clone()))
        }
    }

    /// Returns the choices that the last row was not made of, with their paths.
    pub(super) fn others(&self) -> Vec<(String, usize)> {
        let varied = self.varied.iter();
        let others = varied.flat_map(|(path, count)| {
            let taken = self.choices.get(path).copied().unwrap_or_default();
            let others = (0..*count).filter(move |choice| *choice != taken);
            others.map(|choice| (path.clone(), choice))
        });
        others.collect()
    }

    /// Returns the choices for the same times without a fraction of a second.
    pub(super) fn whole_seconds(&self) -> Vec<(String, usize)> {
        let whole = |path: &String| {
            let choice = self.choices.get(path).copied().unwrap_or_default();
            Some((path.clone(), whole_second(choice)?))
        };
        self.texts.iter().filter_map(whole).collect()
    }

    /// Makes a row with another choice; gives `None` if it is refused.
    pub(super) fn with<T: DeserializeOwned>(
        &mut self,
        path: &str,
        choice: usize,
    ) -> Result<Option<T>, SchemaError> {
        let before = self.choices.insert(path.to_owned(), choice);
        let made = self.make();
        self.choices
            .insert(path.to_owned(), before.unwrap_or_default());
        match self.failed.take() {
            Some(failed) => Err(failed),
            None => Ok(made.ok()),
        }
    }

    /// Names a field of the current part; returns `false` if it was given by another name.
    pub(super) fn name(&mut self, field: &str) -> bool {
        self.last_field = format!("{}.{field}", self.path);
        !self.aliases.contains(&self.last_field)
    }

    fn make<T: DeserializeOwned>(&mut self) -> Result<T, Refused> {
        self.path.clear();
        self.depth = 0;
        self.last = None;
        T::deserialize(Sample(self))
    }

    /// Returns which of so many samples the current part is given.
    fn choose(&mut self, count: usize) -> usize {
        self.last = Some((self.path.clone(), count));
        self.choices.get(&self.path).copied().unwrap_or_default()
    }

    pub(super) fn pick<V: Copy>(&mut self, samples: &[V]) -> Result<V, Refused> {
        let choice = self.choose(samples.len());
        samples
            .get(choice)
            .copied()
            .ok_or(Refused::Other(String::new()))
    }

    pub(super) fn text(&mut self) -> Result<&'static str, Refused> {
        if !self.texts.contains(&self.path) {
            self.texts.insert(self.path.clone());
        }
        self.pick(TEXTS)
    }

    pub(super) fn vary(&mut self, count: usize) {
        if !self.varied.contains_key(&self.path) {
            self.varied.insert(self.path.clone(), count);
        }
    }

    pub(super) fn fail(&mut self, reason: impl Into<String>) -> Refused {
        let failed = SchemaError::new(self.path.clone(), reason);
        self.failed.get_or_insert(failed);
        Refused::Other(String::new())
    }

    /// Deserializes a part of the current one.
    pub(super) fn part<'de, S: DeserializeSeed<'de>>(
        &mut self,
        name: fmt::Arguments<'_>,
        seed: S,
    ) -> Result<S::Value, Refused> {
        if self.depth == DEEPEST {
            let (start, _) = self.path.split_at(self.path.floor_char_boundary(40));
            self.path = format!("{start}…");
            return Err(self.fail("it contains itself"));
        }
        let above = self.path.len();
        let _ = fmt::Write::write_fmt(&mut self.path, name);
        if above == 0 && self.path.starts_with('.') {
            self.path.remove(0);
        }
        self.depth += 1;
        let value = seed.deserialize(Sample(self))?;
        self.depth -= 1;
        self.path.truncate(above);
        Ok(value)
    }
}

/// Why a type takes no sample.
#[derive(Debug)]
pub(super) enum Refused {
    /// A field was given twice, by two of its names.
    Duplicate,
    Missing(&'static str),
    Other(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Duplicate => f.write_str("a field has two names"),
            Refused::Missing(name) => write!(f, "missing field `{name}`"),
            Refused::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Refused::Other(reason.to_string())
    }

    fn duplicate_field(_: &'static str) -> Self {
        Refused::Duplicate
    }

    fn missing_field(field: &'static str) -> Self {
        Refused::Missing(field)
    }
}
