//! The wire form of tasks, `{"task": "…", "params": {…}}`: how a [`Dep`] is written as JSON and
//! built again from the registry of linked tasks.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{self, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value as Json;

use super::artifact::Artifact;
use super::dep::{Dep, dep};
use super::given::{Given, ParamError};
use super::requires::Req;
use super::spec::{Registration, TaskSpec};
use super::task::DynTask;

/// All tasks that are linked into this program.
pub(crate) fn linked() -> impl Iterator<Item = &'static TaskSpec> {
    inventory::iter::<Registration>
        .into_iter()
        .map(|entry| entry.spec)
}

/// The entry of a task in the registry: by its whole name, or by the last part of it where no other has the same.
pub(crate) fn registered(name: &str) -> Option<&'static Registration> {
    let entries = || inventory::iter::<Registration>.into_iter();
    if let Some(entry) = entries().find(|entry| entry.spec.name == name) {
        return Some(entry);
    }
    let mut alike = entries().filter(|entry| entry.spec.name.rsplit('/').next() == Some(name));
    let entry = alike.next()?;
    alike.next().is_none().then_some(entry)
}

/// A task in its wire form.
pub(super) struct WireTask<'a>(pub(super) &'a dyn DynTask);

impl Serialize for WireTask<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let params = match self.0.to_json().map_err(ser::Error::custom)? {
            Json::Null => Json::Object(serde_json::Map::new()),
            params => params,
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("task", self.0.spec().name)?;
        map.serialize_entry("params", &params)?;
        map.end()
    }
}

struct WireReq<'a>(&'a Req, &'a [Arc<dyn DynTask>]);

impl Serialize for WireReq<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let WireReq(req, tasks) = *self;
        match req {
            Req::Task(place) => WireTask(tasks[place.index()].as_ref()).serialize(serializer),
            Req::Null => serializer.serialize_unit(),
            Req::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&WireReq(item, tasks))?;
                }
                seq.end()
            }
            Req::Map(map) => {
                let mut members = serializer.serialize_map(Some(map.names.len()))?;
                for (name, item) in map.names.iter().zip(&map.values) {
                    members.serialize_entry(name, &WireReq(item, tasks))?;
                }
                members.end()
            }
            Req::Chosen(chosen) => WireReq(&chosen.req, tasks).serialize(serializer),
        }
    }
}

impl<P> Serialize for Dep<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireReq(self.req(), self.tasks()).serialize(serializer)
    }
}

fn one<P: Send + Sync + 'static>(json: Json) -> Result<Dep<P>, String> {
    let task = task(json, TypeId::of::<P>(), std::any::type_name::<P>())?;
    Ok(Dep::from_dyn::<P>(task))
}

fn artifact<T: Send + Sync + 'static>(json: Json) -> Result<Dep<Artifact<T>>, String> {
    let task = task(json, TypeId::of::<T>(), std::any::type_name::<T>())?;
    Ok(Dep::from_dyn::<T>(task))
}

fn task(json: Json, output: TypeId, output_name: &str) -> Result<Arc<dyn DynTask>, String> {
    let task = read(json)?;
    if task.output_type() != output {
        return Err(format!(
            "task `{}` does not make the `{output_name}` that is required here",
            task.spec().name
        ));
    }
    Ok(task)
}

/// Any task from its wire form.
pub(super) fn read(json: Json) -> Result<Arc<dyn DynTask>, String> {
    let expected = "expected a task as {\"task\": \"…\", \"params\": {…}}";
    let Json::Object(mut members) = json else {
        return Err(format!("{expected}, found {}", kind(&json)));
    };
    let Some(Json::String(name)) = members.remove("task") else {
        return Err(format!(
            "{expected}: the member `task` is missing or no string"
        ));
    };
    let params = members
        .remove("params")
        .unwrap_or_else(|| Json::Object(serde_json::Map::new()));
    if let Some(other) = members.keys().next() {
        return Err(format!("{expected}: unknown member `{other}`"));
    }
    named(&name, params)
}

/// The task of that name with parameters that somebody has written.
pub(super) fn given(
    name: &str,
    params: Vec<(String, Given)>,
) -> Result<Arc<dyn DynTask>, ParamError> {
    match registered(name) {
        Some(entry) => (entry.build)(params),
        None => Err(de::Error::custom(format_args!(
            "no task named `{name}` is linked into this program"
        ))),
    }
}

/// The task of that name with these parameters.
pub(super) fn named(name: &str, params: Json) -> Result<Arc<dyn DynTask>, String> {
    let Some(entry) = registered(name) else {
        return Err(format!(
            "no task named `{name}` is linked into this program"
        ));
    };
    let params = match params {
        Json::Object(members) => members,
        Json::Null => serde_json::Map::new(),
        params => {
            return Err(format!(
                "task `{name}`: expected an object of parameters, found {}",
                kind(&params)
            ));
        }
    };
    let given = params
        .into_iter()
        .map(|(name, value)| (name, Given::Json(value)));
    (entry.build)(given.collect()).map_err(|error| format!("task `{name}`: {error}"))
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// Where autoref specialization starts: the shape of `P` chooses the trait whose `dep` is called.
#[derive(Debug)]
pub struct Wire<P>(PhantomData<fn() -> P>);

impl<P> Wire<P> {
    /// For a field of type `Dep<P>`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub fn new() -> Self {
        Wire(PhantomData)
    }
}

/// Reads a [`Dep`] of any one output; the last resort.
pub trait ViaOne {
    /// What the [`Dep`] gives.
    type Value;
    /// Reads the wire form.
    ///
    /// # Errors
    ///
    /// What does not fit, in words.
    fn dep<'de, D: Deserializer<'de>>(&self, json: D) -> Result<Dep<Self::Value>, D::Error>;
}

/// Reads a [`Dep`] of a collection of outputs, or of one artifact.
pub trait ViaMany {
    /// What the [`Dep`] gives.
    type Value;
    /// Reads the wire form.
    ///
    /// # Errors
    ///
    /// What does not fit, in words.
    fn dep<'de, D: Deserializer<'de>>(&self, json: D) -> Result<Dep<Self::Value>, D::Error>;
}

/// Reads a [`Dep`] of a collection of artifacts.
pub trait ViaArtifacts {
    /// What the [`Dep`] gives.
    type Value;
    /// Reads the wire form.
    ///
    /// # Errors
    ///
    /// What does not fit, in words.
    fn dep<'de, D: Deserializer<'de>>(&self, json: D) -> Result<Dep<Self::Value>, D::Error>;
}

/// One implementation of one of the traits above: how the JSON of a `$value` is read.
macro_rules! via {
    ($via:ident for $this:ty => $value:ty, [$($param:ident),*], [$($key:ident)?], $read:expr) => {
        impl<$($param: Send + Sync + 'static,)* $($key: MapKey)?> $via for $this {
            type Value = $value;

            fn dep<'de, D: Deserializer<'de>>(&self, json: D) -> Result<Dep<$value>, D::Error> {
                let json = Json::deserialize(json)?;
                let read: fn(Json) -> Result<Dep<$value>, String> = $read;
                read(json).map_err(de::Error::custom)
            }
        }
    };
}

/// What a required map's keys can be on the wire.
pub trait MapKey:
    Ord + Clone + Serialize + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K: Ord + Clone + Serialize + DeserializeOwned + Debug + Send + Sync + 'static> MapKey for K {}

via!(ViaOne for Wire<P> => P, [P], [], one);
via!(ViaMany for &Wire<Artifact<T>> => Artifact<T>, [T], [], artifact);
via!(ViaMany for &Wire<Vec<T>> => Vec<T>, [T], [], |json| list(json, one));
via!(ViaMany for &Wire<Option<T>> => Option<T>, [T], [], |json| option(json, one));
via!(ViaMany for &Wire<BTreeMap<K, T>> => BTreeMap<K, T>, [T], [K], |json| map(json, one));
via!(ViaArtifacts for &&Wire<Vec<Artifact<T>>> => Vec<Artifact<T>>, [T], [], |json| list(json, artifact));
via!(ViaArtifacts for &&Wire<Option<Artifact<T>>> => Option<Artifact<T>>, [T], [], |json| option(json, artifact));
via!(ViaArtifacts for &&Wire<BTreeMap<K, Artifact<T>>> => BTreeMap<K, Artifact<T>>, [T], [K], |json| map(json, artifact));

type ReadOne<V> = fn(Json) -> Result<Dep<V>, String>;

fn list<V: Send + Sync + 'static>(json: Json, read: ReadOne<V>) -> Result<Dep<Vec<V>>, String> {
    match json {
        Json::Array(items) => {
            let items: Vec<Dep<V>> = items.into_iter().map(read).collect::<Result<_, _>>()?;
            Ok(dep(items))
        }
        json => one(json),
    }
}

fn option<V: Send + Sync + 'static>(
    json: Json,
    read: ReadOne<V>,
) -> Result<Dep<Option<V>>, String> {
    if json.is_null() {
        return Ok(dep(None::<Dep<V>>));
    }
    one(json.clone()).or_else(|_| Ok(dep(Some(read(json)?))))
}

fn map<K: MapKey, V: Send + Sync + 'static>(
    json: Json,
    read: ReadOne<V>,
) -> Result<Dep<BTreeMap<K, V>>, String> {
    match json {
        Json::Object(members) if !members.get("task").is_some_and(Json::is_string) => {
            let members: Vec<(K, Dep<V>)> = members
                .into_iter()
                .map(|(name, item)| Ok((map_key(&name)?, read(item)?)))
                .collect::<Result<_, String>>()?;
            Ok(dep(members))
        }
        json => one(json),
    }
}

/// A key that is no string is written as its JSON text.
fn map_key<K: MapKey>(name: &str) -> Result<K, String> {
    serde_json::from_value(Json::String(name.to_owned()))
        .or_else(|_| serde_json::from_str(name))
        .map_err(|error| format!("map key `{name}`: {error}"))
}
