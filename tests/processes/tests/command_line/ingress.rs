//! An engine's ingress that answers as a test says.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A status, and what is said.
pub(super) type Answer = (u16, Value);

/// What a path is answered; nothing for one that is never answered.
type Answers = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

pub(super) struct Ingress {
    address: String,
    asked: Receiver<(String, Value)>,
    /// It serves for as long as it is there.
    _runtime: Runtime,
}

impl Ingress {
    /// One that answers by `answers`; by itself it knows workers, and answers no call.
    pub(super) fn new(answers: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (tell, asked) = channel();
        let answers: Answers = Arc::new(move |path| answers(path).or_else(|| usual(path)));
        runtime.spawn(serve(listener, answers, Arc::new(Mutex::new(tell))));
        Ingress {
            address,
            asked,
            _runtime: runtime,
        }
    }

    /// What `--engine` is given.
    pub(super) fn engine(&self) -> String {
        format!("restate={}", self.address)
    }

    /// The body of the next request to a path that begins like that.
    pub(super) fn next(&self, path: &str) -> Value {
        let mut asked = self.asked.iter();
        asked.find(|(asked, _)| asked.starts_with(path)).unwrap().1
    }
}

fn usual(path: &str) -> Option<Answer> {
    match path {
        "/restate/health" => Some((200, json!({"services": []}))),
        "/version" => Some((404, json!("no such page"))),
        "/kart-batch/run" => Some((200, json!([]))),
        _ => None,
    }
}

type Tell = Arc<Mutex<Sender<(String, Value)>>>;

async fn serve(listener: TcpListener, answers: Answers, tell: Tell) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answers, tell) = (Arc::clone(&answers), Arc::clone(&tell));
        let service = service_fn(move |request| {
            let (answers, tell) = (Arc::clone(&answers), Arc::clone(&tell));
            async move { Ok::<_, Infallible>(answer(request, &answers, &tell).await) }
        });
        let served = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(served);
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: &Answers,
    tell: &Tell,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let answered = answers(&path);
    // A test that has ended does not listen.
    let _ = tell.lock().unwrap().send((path, body));
    let Some((status, said)) = answered else {
        return std::future::pending().await;
    };
    let said = match said {
        Value::String(text) => text,
        said => said.to_string(),
    };
    let mut response = Response::new(Full::from(said));
    *response.status_mut() = status.try_into().unwrap();
    response
}
