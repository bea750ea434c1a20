//! Iterables, options, maps and tuples of what can be required.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::Serialize;

use super::shape::{Intern, MapReq, Mismatch, Req, Values, Want};
use super::{Each, Keyed, Many, Maybe, Requires};
use crate::key::canonical;

/// How many items are reserved room for at most before they are there.
const MOST_RESERVED: usize = 1 << 16;

impl<I, V, M> Requires<Vec<V>, Many<M>> for I
where
    I: IntoIterator,
    I::Item: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        let items = self.into_iter();
        // An endless one is ended by its graph, and not by a size that it claims to have.
        let mut list = Vec::with_capacity(items.size_hint().0.min(MOST_RESERVED));
        for item in items {
            list.push(item.expand(intern));
        }
        Req::List(list.into_boxed_slice())
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        if let Req::List(items) = req {
            wants.reserve(items.len());
            for item in items {
                I::Item::want(item, false, wants);
            }
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<Vec<V>, Mismatch> {
        match req {
            Req::List(items) => items
                .iter()
                .map(|item| I::Item::take(item, values))
                .collect(),
            _ => Err(Mismatch),
        }
    }
}

impl<X, V, M> Requires<Option<V>, Maybe<M>> for Option<X>
where
    X: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        self.map_or(Req::Null, |item| item.expand(intern))
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        if !matches!(req, Req::Null) {
            X::want(req, false, wants);
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<Option<V>, Mismatch> {
        match req {
            Req::Null => Ok(None),
            req => X::take(req, values).map(Some),
        }
    }
}

impl<I, K, X, V, M> Requires<BTreeMap<K, V>, Keyed<M>> for I
where
    I: IntoIterator<Item = (K, X)>,
    K: Ord + Clone + Serialize + Send + Sync + 'static,
    X: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        let mut members = BTreeMap::new();
        for (key, item) in self {
            match members.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(item.expand(intern));
                }
                Entry::Occupied(entry) => {
                    let name = member_name(entry.key());
                    intern.refuse(format!("two tasks have the one key `{name}` of its map"));
                }
            }
        }
        let keys: Vec<K> = members.keys().cloned().collect();
        let names = keys.iter().map(member_name).collect();
        let values = members.into_values().collect();
        Req::Map(Box::new(MapReq {
            keys: Arc::new(keys),
            names,
            values,
        }))
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        if let Req::Map(map) = req {
            for item in &map.values {
                X::want(item, false, wants);
            }
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<BTreeMap<K, V>, Mismatch> {
        let Req::Map(map) = req else {
            return Err(Mismatch);
        };
        let keys: &Vec<K> = map.keys.downcast_ref().ok_or(Mismatch)?;
        keys.iter()
            .zip(&map.values)
            .map(|(key, item)| Ok((key.clone(), X::take(item, values)?)))
            .collect()
    }
}

/// A map's key as the name of a JSON member: strings as they are, anything else as its JSON text.
fn member_name<K: Serialize>(key: &K) -> Box<str> {
    let text = match serde_json::to_value(key) {
        Ok(serde_json::Value::String(text)) => text,
        _ => canonical::to_vec(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
    };
    text.into_boxed_str()
}

macro_rules! tuple {
    ($($x:ident $v:ident $m:ident $i:tt),+) => {
        impl<$($x, $v, $m),+> Requires<($($v,)+), Each<($($m,)+)>> for ($($x,)+)
        where
            $($x: Requires<$v, $m>),+
        {
            fn expand(self, intern: &mut dyn Intern) -> Req {
                Req::List(Box::new([$(self.$i.expand(intern)),+]))
            }

            fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
                if let Req::List(items) = req {
                    $(if let Some(item) = items.get($i) {
                        $x::want(item, false, wants);
                    })+
                }
            }

            fn take(req: &Req, values: &mut Values) -> Result<($($v,)+), Mismatch> {
                let Req::List(items) = req else {
                    return Err(Mismatch);
                };
                Ok(($($x::take(items.get($i).ok_or(Mismatch)?, values)?,)+))
            }
        }
    };
}

tuple!(X0 V0 M0 0);
tuple!(X0 V0 M0 0, X1 V1 M1 1);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4, X5 V5 M5 5);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4, X5 V5 M5 5, X6 V6 M6 6);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4, X5 V5 M5 5, X6 V6 M6 6, X7 V7 M7 7);
