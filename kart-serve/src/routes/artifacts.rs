//! Outputs, as they are stored.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderValue, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use bytes::Bytes;
use futures_util::stream;
use kart_core::{Key, Reader, StoredOutput, Workspace};
use tokio::io::AsyncBufReadExt as _;

use super::request;
use crate::answer::{Answer, Refusal};
use crate::app::App;

/// A range is read in pieces of so many bytes.
const PIECE: u64 = 1 << 20;

/// An output may be a page of its own: it gets to do nothing here.
const POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// `GET /artifacts/{path}`; with `?key=KEY` only what the task of that key has made.
pub(super) async fn artifact(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Answer, Refusal> {
    let path = request::rest(&uri, "/artifacts/")?;
    check(&path)?;
    let output = match key(&uri)? {
        Some(key) => StoredOutput::at(&app.workspace, &path, key),
        None => StoredOutput::of_any_task(&app.workspace, &path),
    };
    let size = output.size().await?;
    let mut answer = Response::new(Body::empty());
    // There is nothing by which to tell one version from another, so that a part of "that version" is all of it.
    let wanted = headers
        .get(RANGE)
        .filter(|_| !headers.contains_key(IF_RANGE));
    let wanted = wanted.and_then(|value| wanted_range(value.to_str().ok()?, size));
    let length = match wanted {
        Some(Wanted::Part(range)) => {
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            answer.headers_mut().insert(CONTENT_RANGE, header(&text));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let length = range.end - range.start;
            if method != Method::HEAD {
                *answer.body_mut() = part(app.workspace.clone(), path.clone(), range);
            }
            length
        }
        Some(Wanted::Beyond) => {
            return Err(Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the range lies beyond the end",
                format!("the output has {size} bytes"),
            )
            .with(CONTENT_RANGE, header(&format!("bytes */{size}"))));
        }
        None => {
            if method != Method::HEAD {
                *answer.body_mut() = if size <= PIECE {
                    output.bytes().await?.into()
                } else {
                    whole(output.reader().await?)
                };
            }
            size
        }
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&path)));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(answer)
}

/// The key of the task that is to have made the output.
fn key(uri: &Uri) -> Result<Option<Key>, Refusal> {
    let query = request::query(uri);
    let key = query.iter().find(|(name, _)| name == "key");
    let parsed = key.map(|(_, text)| text.parse()).transpose();
    parsed.map_err(|_| Refusal::bad("`key` is no key", "a key has 32 hex digits"))
}

/// Refuses what is no output: what kart keeps for itself, and what would lead out of the workspace.
fn check(path: &str) -> Result<(), Refusal> {
    let is_bad = |segment: &str| {
        matches!(segment, "" | "." | "..")
            || segment.contains(|c: char| c.is_control() || c == '\\' || c == ':')
    };
    let first = path.split('/').next().unwrap_or_default();
    // Some file systems do not tell cases apart.
    if first.eq_ignore_ascii_case(kart_core::layout::OWN) || path.split('/').any(is_bad) {
        return Err(Refusal::not_found(
            "there is no such output",
            "an output is named by its path, relative to the workspace",
        ));
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Part(Range<u64>),
    Beyond,
}

/// The one range that is asked for. Of what is no range, or several, the whole is given, as it may be.
fn wanted_range(text: &str, size: u64) -> Option<Wanted> {
    let (from, to) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from.trim(), to.trim()) {
        ("", last) => {
            let last: u64 = last.parse().ok()?;
            size.saturating_sub(last)..size
        }
        (from, "") => from.parse().ok()?..size,
        (from, to) => {
            let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
            if from > to {
                return None;
            }
            from..to.saturating_add(1).min(size)
        }
    };
    Some(if range.start < range.end {
        Wanted::Part(range)
    } else {
        Wanted::Beyond
    })
}

/// The bytes of a reader, each piece once the next is there: a mismatch is found at the end, and the answer is to break off.
fn whole(reader: Reader) -> Body {
    let state = (reader, Bytes::new());
    Body::from_stream(stream::try_unfold(
        state,
        |(mut reader, mut held)| async move {
            loop {
                let next = Bytes::copy_from_slice(reader.fill_buf().await?);
                reader.consume(next.len());
                let is_last = next.is_empty();
                let piece = std::mem::replace(&mut held, next);
                if !piece.is_empty() || is_last {
                    let state = (reader, held);
                    return std::io::Result::Ok((!piece.is_empty()).then_some((piece, state)));
                }
            }
        },
    ))
}

fn part(workspace: Workspace, path: String, range: Range<u64>) -> Body {
    let state = (workspace, path, range);
    Body::from_stream(stream::try_unfold(
        state,
        |(workspace, path, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let end = range.end.min(range.start + PIECE);
            let piece = workspace.read_range(&path, range.start..end).await;
            let piece = piece.map_err(std::io::Error::other)?;
            let piece = piece.filter(|piece| !piece.is_empty());
            let piece = piece.ok_or_else(|| std::io::Error::other("the output has gone"))?;
            let next = range.start + piece.len() as u64;
            Ok::<_, std::io::Error>(Some((piece, (workspace, path, next..range.end))))
        },
    ))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// What an output is, by its extension.
fn content_type(path: &str) -> &'static str {
    let extension = path
        .rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'));
    let extension = extension.map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "txt" | "log" | "md" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "tsv" => "text/tab-separated-values; charset=utf-8",
        "html" | "htm" => "text/html; charset=utf-8",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "toml" => "application/toml",
        "yaml" | "yml" => "application/yaml",
        "parquet" => "application/vnd.apache.parquet",
        "arrow" | "feather" => "application/vnd.apache.arrow.file",
        "gz" => "application/gzip",
        "zst" => "application/zstd",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_is_there() {
        let range = |text, size| wanted_range(text, size);
        assert_eq!(range("bytes=0-3", 10), Some(Wanted::Part(0..4)));
        assert_eq!(range("bytes=4-", 10), Some(Wanted::Part(4..10)));
        assert_eq!(range("bytes=-3", 10), Some(Wanted::Part(7..10)));
        assert_eq!(range("bytes=-30", 10), Some(Wanted::Part(0..10)));
        assert_eq!(range("bytes=8-99", 10), Some(Wanted::Part(8..10)));
        assert_eq!(range("bytes=10-", 10), Some(Wanted::Beyond));
        assert_eq!(range("bytes=-0", 10), Some(Wanted::Beyond));
        assert_eq!(range("bytes=0-", 0), Some(Wanted::Beyond));
        for odd in [
            "bytes=5-2",
            "bytes=a-b",
            "lines=1-2",
            "bytes=0-1,4-5",
            "bytes=-",
            "",
        ] {
            assert_eq!(range(odd, 10), None, "{odd}");
        }
        assert_eq!(
            range("bytes=0-18446744073709551615", 10),
            Some(Wanted::Part(0..10))
        );
    }
}
