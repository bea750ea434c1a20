//! From what a store said to what a person can do about it.

use std::error::Error as StdError;
use std::io;

use object_store::Error;

use super::retry;
use crate::{
    StoreError,
    error::{chain, is_interrupted},
};

/// Whether a "not found" is about the bucket and not about the object.
pub(super) fn names_bucket(error: &(dyn StdError + 'static)) -> bool {
    let text = chain(error);
    ["NoSuchBucket", "bucket does not exist", "ContainerNotFound"]
        .iter()
        .any(|sign| text.contains(sign))
}

pub(super) fn remote(
    operation: &'static str,
    location: String,
    workspace: &str,
    error: Error,
) -> StoreError {
    if is_interrupted(&error) {
        return refused(operation, location);
    }
    let hint = remote_hint(workspace, &error);
    StoreError {
        operation,
        location,
        hint,
        transient: retry::is_transient(&error),
        source: error.into(),
    }
}

/// The error of a write whose guard is closed.
fn refused(operation: &'static str, location: String) -> StoreError {
    StoreError {
        operation,
        location,
        hint: None,
        source: crate::interrupted().into(),
        transient: false,
    }
}

/// Whether the store's client looked for credentials on the platform, in vain.
pub(super) fn lacks_credentials(text: &str) -> bool {
    [
        "169.254.169.254",
        "169.254.170.2",
        "metadata.google.internal",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}

fn remote_hint(workspace: &str, error: &Error) -> Option<String> {
    // A store that the caller has set up has no scheme, and its settings no names that kart knows.
    let (scheme, rest) = workspace.split_once("://").unwrap_or(("", workspace));
    let bucket = rest.split('/').next().unwrap_or(rest);
    let (credentials, endpoint) = match scheme {
        "gs" => (
            "GOOGLE_APPLICATION_CREDENTIALS (a key file) or the platform's service account",
            "GOOGLE_BASE_URL",
        ),
        "s3" | "s3a" => (
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or the platform's role",
            "AWS_ENDPOINT and AWS_REGION",
        ),
        "" => ("the store's credentials", "the store's endpoint"),
        _ => (
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or the platform's identity",
            "AZURE_STORAGE_ENDPOINT",
        ),
    };
    let text = chain(error);
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if names_bucket(error) {
        return Some(format!(
            "there is no bucket `{bucket}`: create it, or check the name and {endpoint}"
        ));
    }
    if lacks_credentials(&text) {
        return Some(format!("no credentials were found: set {credentials}"));
    }
    let refused = matches!(
        error,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
    );
    // A refused listing comes as a general error.
    if refused || has(&["403 Forbidden", "401 Unauthorized"]) {
        return Some(format!(
            "the credentials were refused or lack the right to read, write, delete and list in `{bucket}`: check {credentials}"
        ));
    }
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            Some("this store lacks an operation that kart needs".to_owned())
        }
        _ if has(&["BadScheme", "URL scheme is not allowed"]) => Some(
            "an endpoint without TLS has to be allowed: set AWS_ALLOW_HTTP=true (or AZURE_ALLOW_HTTP)"
                .to_owned(),
        ),
        _ if has(&["dns error", "onnection refused", "error sending request", "onnect error"]) => {
            Some(format!(
                "the store could not be reached: check the network and {endpoint}"
            ))
        }
        _ => None,
    }
}

#[cfg(feature = "fs")]
pub(super) fn local(operation: &'static str, location: String, error: io::Error) -> StoreError {
    if is_interrupted(&error) {
        return refused(operation, location);
    }
    let hint = local_hint(&error);
    StoreError {
        operation,
        location,
        hint: hint.map(str::to_owned),
        transient: is_transient(&error),
        source: error.into(),
    }
}

/// Whether the same operation on a file may succeed later: the file system is behind a network, or the file is a copy
/// of an object whose store failed.
pub(super) fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind;
    let store = error.get_ref().and_then(|source| source.downcast_ref());
    store.is_some_and(retry::is_transient)
        || matches!(
            error.kind(),
            ErrorKind::TimedOut
                | ErrorKind::StaleNetworkFileHandle
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::NetworkDown
                | ErrorKind::NotConnected
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
        )
}

/// Too many symbolic links, on Linux; the kind of this error has no stable name.
#[cfg(feature = "fs")]
const ELOOP: i32 = 40;

#[cfg(feature = "fs")]
fn local_hint(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::NotADirectory => {
            "a part of the path is a file: on a disk no object can lie below another"
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => {
            "a directory lies there: on a disk no object can have the name of a directory"
        }
        _ if error.raw_os_error() == Some(ELOOP) => {
            "a symbolic link there leads to itself: remove it"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: choose a workspace that can be written to"
        }
        io::ErrorKind::StorageFull => "the disk is full: make room and run again",
        io::ErrorKind::QuotaExceeded => "the disk quota is used up: make room and run again",
        io::ErrorKind::PermissionDenied => {
            "this user may not: change the directory's owner or mode, or choose another workspace"
        }
        io::ErrorKind::InvalidFilename => {
            "a name is too long for the file system: shorten the task's `path`, for instance to `{key}`"
        }
        io::ErrorKind::CrossesDevices => {
            "its directory is on another file system than the workspace's `_kart`, so that nothing can be moved there in one step: make it a workspace of its own"
        }
        _ if error.raw_os_error() == Some(24) => {
            "too many open files: raise the limit (`ulimit -n`)"
        }
        _ => return None,
    })
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::{BackoffConfig, RetryConfig, aws::AmazonS3Builder};

    use crate::Workspace;

    fn hint(endpoint: &str, allow_http: bool) -> String {
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 0,
            retry_timeout: Duration::from_secs(5),
        };
        let store = AmazonS3Builder::new()
            .with_bucket_name("kart")
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_endpoint(endpoint)
            .with_allow_http(allow_http)
            .with_retry(retry)
            .build()
            .unwrap();
        let workspace = Workspace::from_store(Arc::new(store), "prefix");
        let workspace = workspace.retry_timeout(Duration::ZERO);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let error = runtime.block_on(workspace.exists("a")).unwrap_err();
        assert_eq!(error.location, "AmazonS3(kart)/prefix/a");
        error
            .hint
            .unwrap_or_else(|| format!("no hint: {:?}", error.source))
    }

    #[test]
    fn a_store_without_a_route() {
        // The port of a listener that is gone.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(
            hint(&endpoint, true),
            "the store could not be reached: check the network and the store's endpoint"
        );
    }

    #[test]
    fn an_endpoint_without_tls() {
        assert_eq!(
            hint("http://127.0.0.1:9", false),
            "an endpoint without TLS has to be allowed: set AWS_ALLOW_HTTP=true (or AZURE_ALLOW_HTTP)"
        );
    }
}
