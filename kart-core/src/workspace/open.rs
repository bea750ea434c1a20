//! From a location to a store, without a request.

use std::{path::Path, sync::Arc};

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::backend::{Opened, Place, Tuning};
#[cfg(feature = "fs")]
use super::local::Local;
use super::remote::{Clients, Remote};
use crate::{BoxError, StoreError};

pub(super) fn open(location: &Path) -> Result<Opened, StoreError> {
    let Some((scheme, rest)) = location.to_str().and_then(|text| text.split_once("://")) else {
        return directory(location);
    };
    match scheme {
        "file" => file(rest),
        "memory" => {
            let store = Arc::new(InMemory::new());
            let clients = Clients {
                store: store.clone(),
                bulk: store.clone(),
                parts: Some(store),
            };
            let prefix = rest.trim_matches('/');
            let location = format!("memory://{prefix}");
            Ok(remote(clients, prefix, location, Place::Memory))
        }
        "s3" | "s3a" | "gs" | "az" | "azure" | "adl" | "abfs" | "abfss" => bucket(scheme, rest),
        _ => Err(refused(
            format!("{scheme}://…"),
            "a workspace is a directory (`./dir`, `file:///dir`), a bucket (`gs://bucket/prefix`, `s3://…`, `az://…`) or `memory://`",
            format!("unknown scheme `{scheme}`"),
        )),
    }
}

/// A store that the caller has set up.
pub(super) fn store(store: Arc<dyn ObjectStore>, prefix: &str) -> Opened {
    let prefix = prefix.trim_matches('/');
    let location = format!("{store}/{prefix}");
    let location = location.trim_end_matches('/').to_owned();
    remote(Clients::of(store), prefix, location, Place::Bucket)
}

fn remote(clients: Clients, prefix: &str, location: String, place: Place) -> Opened {
    let tuning = Arc::new(Tuning::default());
    let remote = Remote::new(clients, prefix, location.clone(), place, tuning.clone());
    Opened {
        location,
        place,
        backend: Box::new(remote),
        tuning,
    }
}

fn refused(location: String, hint: impl Into<String>, source: impl Into<BoxError>) -> StoreError {
    StoreError {
        operation: "open",
        location,
        hint: Some(hint.into()),
        source: source.into(),
        transient: false,
    }
}

#[cfg(not(all(feature = "fs", feature = "aws", feature = "gcp", feature = "azure")))]
fn feature_off(location: &str, feature: &str) -> StoreError {
    refused(
        location.to_owned(),
        format!("turn the feature `{feature}` of the crate `kart` on"),
        format!("this program was built without the feature `{feature}`"),
    )
}

#[cfg(feature = "fs")]
fn directory(path: &Path) -> Result<Opened, StoreError> {
    let shown = path.display().to_string();
    if shown.is_empty() {
        return Err(refused(
            shown,
            "write `.` for the current directory",
            "the location is empty",
        ));
    }
    // A program that changes its directory later still has the same workspace.
    let root = std::path::absolute(path)
        .map_err(|error| refused(shown.clone(), "name it by an absolute path", error))?;
    let tuning = Arc::new(Tuning::default());
    Ok(Opened {
        backend: Box::new(Local::new(root, shown.clone(), tuning.clone())),
        location: shown,
        place: Place::Directory,
        tuning,
    })
}

#[cfg(not(feature = "fs"))]
fn directory(path: &Path) -> Result<Opened, StoreError> {
    Err(feature_off(&path.display().to_string(), "fs"))
}

fn file(rest: &str) -> Result<Opened, StoreError> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(refused(
            format!("file://{rest}"),
            "write three slashes and an absolute path, `file:///dir`, or the bare path, `./dir`",
            format!("`{rest}` is no absolute path"),
        ));
    }
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|error| refused(format!("file://{rest}"), "write the bare path", error))?;
    directory(Path::new(&*path))
}

fn bucket(scheme: &str, rest: &str) -> Result<Opened, StoreError> {
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    let azure = !matches!(scheme, "s3" | "s3a" | "gs");
    // What looks like a secret is neither used nor shown.
    if authority.contains(':') || (authority.contains('@') && !azure) || rest.contains('?') {
        return Err(refused(
            format!("{scheme}://…"),
            "put credentials and settings into the environment and write only `SCHEME://BUCKET/PREFIX`",
            "a location holds no credentials and no query",
        ));
    }
    let location = format!("{scheme}://{rest}")
        .trim_end_matches('/')
        .to_owned();
    if authority.is_empty() {
        return Err(refused(
            location,
            format!("write `{scheme}://BUCKET/PREFIX`"),
            "no bucket is named",
        ));
    }
    object_store::path::Path::parse(prefix)
        .map_err(|error| refused(location.clone(), "choose another prefix", error))?;
    let clients = connect(scheme, &format!("{scheme}://{authority}"), &location)?;
    Ok(remote(clients, prefix, location, Place::Bucket))
}

type Connected = Result<Clients, StoreError>;

fn connect(scheme: &str, url: &str, location: &str) -> Connected {
    match scheme {
        "s3" | "s3a" => aws(url, location),
        "gs" => gcp(url, location),
        _ => azure(url, location),
    }
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
fn checked(
    clients: Result<Clients, object_store::Error>,
    location: &str,
    prefix: &str,
) -> Connected {
    let hint = format!("check the location and the variables `{prefix}*` in the environment");
    clients.map_err(|error| refused(location.to_owned(), hint, error))
}

/// The settings of one provider in the environment, lower-cased. Unprefixed ones, such as `REGION` or
/// `TOKEN`, belong to somebody else, although the builders would take them.
#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
fn settings(prefix: &str) -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect()
}

/// Builds the two clients. The builders' own limit of 30 seconds holds for a whole request with its
/// body; here it is 30 seconds without a byte for the one, an hour in all for the other.
#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
macro_rules! clients {
    ($builder:ty, $key:ty, $url:expr, $prefix:literal, $defaults:expr) => {{
        use object_store::ClientConfigKey::{ReadTimeout, Timeout};
        let build = |limits: &[(object_store::ClientConfigKey, &str)]| {
            let mut builder = <$builder>::new().with_url($url);
            for (key, value) in limits {
                builder = builder.with_config(<$key>::Client(*key), *value);
            }
            let defaults: &[(&str, &str)] = &$defaults;
            let defaults = defaults
                .iter()
                .map(|(name, value)| (String::from(*name), String::from(*value)));
            for (name, value) in defaults.chain(settings($prefix)) {
                // The prefix is also used for what is no setting of the store's client.
                if let Ok(key) = name.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder.build()
        };
        build(&[(Timeout, "1h"), (ReadTimeout, "30s")]).and_then(|store| {
            let bulk = build(&[(Timeout, "1h")])?;
            Ok(Clients::bucket(store, bulk))
        })
    }};
}

#[cfg(feature = "aws")]
fn aws(url: &str, location: &str) -> Connected {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    checked(
        clients!(
            AmazonS3Builder,
            AmazonS3ConfigKey,
            url,
            "aws_",
            // An upload in parts that is completed create-only; see `upload.rs`.
            [("aws_copy_if_not_exists", "multipart")]
        ),
        location,
        "AWS_",
    )
}

#[cfg(not(feature = "aws"))]
fn aws(_: &str, location: &str) -> Connected {
    Err(feature_off(location, "aws"))
}

#[cfg(feature = "gcp")]
fn gcp(url: &str, location: &str) -> Connected {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    checked(
        clients!(
            GoogleCloudStorageBuilder,
            GoogleConfigKey,
            url,
            "google_",
            []
        ),
        location,
        "GOOGLE_",
    )
}

#[cfg(not(feature = "gcp"))]
fn gcp(_: &str, location: &str) -> Connected {
    Err(feature_off(location, "gcp"))
}

#[cfg(feature = "azure")]
fn azure(url: &str, location: &str) -> Connected {
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
    checked(
        clients!(MicrosoftAzureBuilder, AzureConfigKey, url, "azure_", []),
        location,
        "AZURE_",
    )
}

#[cfg(not(feature = "azure"))]
fn azure(_: &str, location: &str) -> Connected {
    Err(feature_off(location, "azure"))
}
