//! The client against a real server on this machine.

#![allow(clippy::unwrap_used, reason = "a test that panics here has failed")]

use std::net::IpAddr;
use std::time::Duration;

use flowrun_mock_llm::WebServer;
use flowrun_net::{Client, Error, ErrorKind, Limits, Method, Request, Response, RetryPolicy, Rules, url};
use serde_json::Value;

const SOON: Duration = Duration::from_millis(1);

struct Web(WebServer);

impl Web {
    async fn start() -> Self {
        Self(WebServer::start().await.unwrap())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address())
    }

    fn request(&self, method: Method, path: &str) -> Request {
        request(method, &self.url(path))
    }

    fn seen(&self) -> usize {
        self.0.requests().len()
    }
}

fn request(method: Method, url: &str) -> Request {
    let mut request = Request::new(method, url::parse(url).unwrap(), "identity");
    request.limits.retry = RetryPolicy { initial_delay: SOON, max_delay: SOON, ..RetryPolicy::default() };
    request
}

async fn send(request: &Request) -> Result<Response, Error> {
    Client::new().send(request, &Rules::default()).await
}

fn json(response: &Response) -> Value {
    serde_json::from_str(response.text().unwrap()).unwrap()
}

fn code<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind
}

#[tokio::test]
async fn a_request_arrives_as_it_is() {
    let web = Web::start().await;
    let mut request = web.request(Method::POST, "/echo/a%2Fb?q=1");
    request.header("x-mine", "1", false).unwrap();
    request.cookies([("a", "b")]).unwrap();
    request.body("{}", "application/json");
    let response = send(&request).await.unwrap();
    let echo = json(&response);
    assert_eq!((response.status.as_u16(), response.tries), (200, 1));
    assert_eq!(echo["method"], "POST");
    assert_eq!((&echo["path"], &echo["query"]), (&"/echo/a%2Fb".into(), &"q=1".into()));
    assert_eq!(echo["body"], "{}");
    let headers = &echo["headers"];
    assert_eq!((&headers["x-mine"], &headers["cookie"]), (&"1".into(), &"a=b".into()));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-client-request-id"], "identity");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let web = Web::start().await;
    let response = send(&web.request(Method::GET, "/flaky/2/a")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.tries), (200, 3));
    let response = send(&web.request(Method::GET, "/flaky/3/b")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.tries), (503, 3));
    for (method, path, tries) in [
        (Method::GET, "/status/404", 1),
        (Method::GET, "/status/501", 1),
        (Method::POST, "/status/500", 1),
        (Method::POST, "/status/429", 3),
        (Method::PUT, "/status/500", 3),
    ] {
        let response = send(&web.request(method.clone(), path)).await.unwrap();
        assert_eq!(response.tries, tries, "{method} {path}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_where_that_does_no_harm() {
    let web = Web::start().await;
    let error = send(&web.request(Method::GET, "/close")).await.unwrap_err();
    assert_eq!((error.kind, error.tries, web.seen()), (ErrorKind::Connect, 3, 3));
    let error = send(&web.request(Method::POST, "/close")).await.unwrap_err();
    assert_eq!((error.kind, error.tries, web.seen()), (ErrorKind::Connect, 1, 4));
    let mut harmless = web.request(Method::POST, "/close");
    harmless.limits.idempotent = Some(true);
    assert_eq!(send(&harmless).await.unwrap_err().tries, 3);
}

#[tokio::test]
async fn nobody_at_home_is_an_error_that_says_so() {
    let error = send(&request(Method::POST, "http://127.0.0.1:9/a?key=hidden")).await.unwrap_err();
    assert_eq!((error.kind, error.tries), (ErrorKind::Connect, 3));
    assert!(error.message.contains("`http://127.0.0.1:9/a`"), "{error}");
    assert!(error.message.contains("refused") && !error.message.contains("hidden"), "{error}");
}

#[tokio::test]
async fn a_reply_has_limits() {
    let web = Web::start().await;
    let limited = |path: &str| {
        let mut request = web.request(Method::GET, path);
        request.limits.largest_reply = 2048;
        request.limits.timeout = Duration::from_millis(300);
        request
    };
    assert_eq!(send(&limited("/bytes/2048")).await.unwrap().body.len(), 2048);
    assert_eq!(send(&limited("/chunks/2")).await.unwrap().body.len(), 2048);
    assert_eq!(code(send(&limited("/bytes/2049")).await), ErrorKind::TooLarge);
    assert_eq!(code(send(&limited("/chunks/3")).await), ErrorKind::TooLarge);
    let before = web.seen();
    let error = send(&limited("/slow/20000")).await.unwrap_err();
    assert_eq!((error.kind, error.tries, web.seen() - before), (ErrorKind::Timeout, 3, 3));
    let mut once = limited("/slow/20000");
    once.method = Method::POST;
    assert_eq!(send(&once).await.unwrap_err().tries, 1);
    let mut head = limited("/bytes/5000");
    head.method = Method::HEAD;
    assert_eq!(send(&head).await.unwrap().body.len(), 0);
}

#[tokio::test]
async fn secrets_stay_with_their_server() {
    let (here, there) = (Web::start().await, Web::start().await);
    let secret = |path: &str| {
        let mut request = here.request(Method::GET, path);
        request.url.set_password(Some("hunter2")).unwrap();
        request.header("authorization", "Bearer k1", false).unwrap();
        request.header("x-secret", "k2", true).unwrap();
        request.cookies([("c", "k3")]).unwrap();
        request.header("x-open", "k4", false).unwrap();
        request
    };
    let same = json(&send(&secret("/redirect/302?/echo")).await.unwrap());
    assert_eq!((&same["headers"]["x-secret"], &same["headers"]["cookie"]), (&"k2".into(), &"c=k3".into()));
    let away = format!("/redirect/302?{}", there.url("/echo"));
    let response = send(&secret(&away)).await.unwrap();
    assert_eq!(response.url.as_str(), there.url("/echo"));
    let headers = json(&response)["headers"].clone();
    assert_eq!(headers["x-open"], "k4");
    for gone in ["authorization", "x-secret", "cookie"] {
        assert_eq!(headers[gone], Value::Null, "{gone}");
    }
    // And back again they are not picked up.
    let back = format!("/redirect/302?{}", there.url(&format!("/redirect/302?{}", here.url("/echo"))));
    let headers = json(&send(&secret(&back)).await.unwrap())["headers"].clone();
    assert_eq!((&headers["x-secret"], &headers["authorization"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn redirects_change_the_method_as_everywhere() {
    let (web, other) = (Web::start().await, Web::start().await);
    for (status, method, becomes, body) in
        [(301, "POST", "GET", ""), (302, "PUT", "PUT", "b"), (303, "PUT", "GET", ""), (307, "POST", "POST", "b")]
    {
        let mut request = web.request(method.parse().unwrap(), &format!("/redirect/{status}?/echo"));
        request.body("b", "text/plain");
        let echo = json(&send(&request).await.unwrap());
        assert_eq!((&echo["method"], &echo["body"]), (&becomes.into(), &body.into()), "{status}");
        assert_eq!(echo["headers"]["content-type"].is_null(), body.is_empty(), "{status}");
    }
    let mut request = web.request(Method::POST, &format!("/redirect/308?{}", other.url("/echo")));
    request.body("b", "text/plain");
    assert_eq!(code(send(&request).await), ErrorKind::RefusedUrl);
    assert_eq!(other.seen(), 0);
}

#[tokio::test]
async fn redirects_are_judged() {
    let web = Web::start().await;
    let allow_list = vec![web.url("/redirect").parse().unwrap(), web.url("/echo").parse().unwrap()];
    let rules = Rules { allow_list, ..Rules::default() };
    let client = Client::new();
    for (to, fine) in [
        ("/echo/a", true),
        ("/status/200", false),
        ("/echo/../status/200", false),
        ("http://169.254.169.254/latest", false),
        ("http://10.0.0.1/", false),
        ("file:///etc/passwd", false),
        ("//example.com/", false),
    ] {
        let request = web.request(Method::GET, &format!("/redirect/302?{to}"));
        let sent = client.send(&request, &rules).await;
        assert_eq!(sent.is_ok(), fine, "{to}: {sent:?}");
        assert!(fine || code(sent) == ErrorKind::RefusedUrl);
    }
    let circle = web.url("/redirect/302");
    let mut request = request(Method::GET, &circle);
    request.url.set_query(Some(
        "/redirect/302?/redirect/302?/redirect/302?/redirect/302?/redirect/302?/redirect/302?/echo",
    ));
    assert_eq!(code(client.send(&request, &rules).await), ErrorKind::RefusedUrl);
    request.limits.redirects = 0;
    assert_eq!(client.send(&request, &rules).await.unwrap().status.as_u16(), 302);
}

#[tokio::test]
async fn what_a_name_leads_to_is_judged_at_the_connection() {
    let web = Web::start().await;
    let port = web.0.address().port();
    let names: [(&str, &[&str]); 4] = [
        ("inside.test", &["127.0.0.1"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("cloud.test", &["169.254.169.254"]),
        ("nothing.test", &["0.0.0.0"]),
    ];
    let client = Client::with_hosts(
        names.map(|(name, to)| (name.to_owned(), to.iter().map(|a| a.parse::<IpAddr>().unwrap()).collect())),
    );
    let rules = Rules { allow_insecure_http: true, ..Rules::default() };
    let private = Rules { allow_private_addresses: true, ..rules.clone() };
    for (name, _) in names {
        let request = request(Method::GET, &format!("http://{name}:{port}/echo"));
        let error = client.send(&request, &rules).await.unwrap_err();
        assert_eq!((error.kind, error.tries), (ErrorKind::RefusedUrl, 1), "{error}");
        assert!(error.message.contains(name), "{error}");
        // Whether a mapped address can be connected to is the machine's business.
        if name != "mapped.test" {
            let allowed = client.send(&request, &private).await;
            assert_eq!(allowed.is_ok(), name == "inside.test", "{name}: {allowed:?}");
        }
    }
    // A connection that is open for one is not used by the other.
    let open = request(Method::GET, &format!("http://inside.test:{port}/echo"));
    assert!(client.send(&open, &private).await.is_ok());
    assert_eq!(code(client.send(&open, &rules).await), ErrorKind::RefusedUrl);
}

#[test]
fn the_usual_limits_are_bounded() {
    let limits = Limits::default();
    assert!(limits.largest_reply <= 10 << 20 && limits.timeout <= Duration::from_secs(60));
}
