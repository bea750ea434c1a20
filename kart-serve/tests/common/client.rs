//! A client of HTTP/1.1 as it is on the wire.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::within;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// Reads an answer from all that the server sent.
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers
            .iter()
            .any(|(name, value)| name == "transfer-encoding" && value == "chunked")
        {
            body = unchunked(&body);
        }
        Some(Answer {
            status,
            headers,
            body,
        })
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
    body
}

/// A request that closes the connection after its answer.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(request, "Content-Length: {}\r\n", body.len());
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

/// Sends bytes and reads all that comes back.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let bytes = within(raw(address, request)).await;
    Answer::read(&bytes)
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)))
}

/// The same for what may get no answer at all.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut bytes = Vec::new();
    // A server that refuses early may not read the rest.
    let (_, _) = tokio::join!(to.write_all(request), from.read_to_end(&mut bytes));
    bytes
}

/// Somebody who listens to events.
pub(crate) struct Listener {
    reader: BufReader<TcpStream>,
}

/// A server-sent event.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) kind: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Json,
}

impl Listener {
    pub(crate) async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(&request("GET", "/events", headers, b""))
            .await
            .unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        within(reader.read_line(&mut line)).await.unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        Listener { reader }
    }

    /// The next event; `None` when the server has ended.
    pub(crate) async fn try_next(&mut self) -> Option<Heard> {
        let mut heard = Heard {
            kind: String::new(),
            id: None,
            data: Json::Null,
        };
        loop {
            let mut line = String::new();
            if within(self.reader.read_line(&mut line)).await.unwrap() == 0 {
                return None;
            }
            // What frames the chunks looks like no field.
            let Some((field, value)) = line.trim_end().split_once(": ") else {
                if line.trim().is_empty() && !heard.kind.is_empty() && !heard.data.is_null() {
                    return Some(heard);
                }
                continue;
            };
            match field {
                "event" => value.clone_into(&mut heard.kind),
                "id" => heard.id = value.parse().ok(),
                "data" => heard.data = serde_json::from_str(value).unwrap(),
                _ => {}
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        self.try_next().await.expect("the stream ended")
    }

    /// The next event that is wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.next().await;
            if wanted(&heard) {
                return heard;
            }
        }
    }

    /// The next that tells of a run in that state.
    pub(crate) async fn run(&mut self, state: &str) -> Json {
        let heard = self
            .until(|heard| heard.kind == "run" && heard.data["state"] == state)
            .await;
        heard.data
    }
}
