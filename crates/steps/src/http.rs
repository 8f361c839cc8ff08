//! `http`: sends a request and takes values out of the reply.

mod outputs;
mod tool;

pub(crate) use tool::HttpTool;

use std::sync::Arc;
use std::time::Duration;

use flowrun_core::cast;
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::{Piece, PiecesText, Template, Text, Variable};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use flowrun_net::url::{Part, add_params, assemble, form, has_fixed_host};
use flowrun_net::{AllowedUrl, Client, Limits, Method, Request, Response, RetryPolicy, Rules, Url, header_name};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::extract_json::Declared;
use crate::filled::Filled;
use crate::http::outputs::Queries;
use crate::template::inputs_read;

const STATUS: &str = "http_status_code";
const RESPONSE: &str = "http_response";
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Sends a request over HTTP and takes values out of the reply by jq queries. A status other than 2xx is the error
/// `http.status`. The reply is kept: a run that goes on later does not ask again.
///
/// What a `{{ … }}` puts into `url` is percent-encoded, so that it can change neither the host nor the form of the path;
/// an empty value or `..` in the path is refused. Only one that `url` begins with is (the beginning of) an address itself.
/// Where the host comes from a value, `url_allow_list` must say which hosts are meant. The address of each redirect, and
/// the network address that is connected to, are judged too; proxies are not used.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in a flow")]
pub(crate) struct HttpStep {
    /// The address, `https://…`; `http://` leads no further than to this machine. Its variables are inputs of the step.
    url: PiecesText,
    /// The method; a text. Default: `GET`.
    method: Option<Text>,
    /// A body in JSON. A string that is exactly one `{{ x }}` is the value of `x`, whatever its type.
    json: Option<Filled>,
    /// A body in place of `json`: a mapping is sent as a form, a text as it is.
    data: Option<Filled>,
    /// Parameters that are added to the query of `url`. A list gives its parameter several times, a null leaves it out.
    params: Option<Filled>,
    /// Headers.
    #[serde(default)]
    headers: IndexMap<String, Text>,
    /// Headers that hold secrets. They are sent to no other server by a redirect, and are hidden in errors.
    #[serde(default)]
    sensitive_headers: IndexMap<String, Text>,
    /// Cookies, which are as secret as `sensitive_headers`.
    #[serde(default)]
    cookies: IndexMap<String, Text>,
    /// The outputs by name, each with the jq query that finds its value in the reply's JSON. The first result counts.
    #[serde(default)]
    extract: IndexMap<String, String>,
    /// Types of outputs, such as `integer`, `string?` or `[string]`. Default: `any`.
    #[serde(default)]
    types: IndexMap<String, Declared>,
    /// What outputs are where the query has no result, or null, or the reply is no JSON; without one, no result is the error
    /// `http.output`.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, serde_json::Value>")]
    defaults: IndexMap<String, Value>,
    /// Gives the reply as the text `http_response`, too.
    #[serde(default)]
    store_response: bool,
    /// Takes every status as it is; `http_status_code` tells it.
    #[serde(default)]
    ignore_bad_status: bool,
    /// How often and how soon a failed request is tried again.
    #[serde(default)]
    retry: RetryPolicy,
    /// Whether the request may be sent twice without harm. Default: by the method, all but POST and PATCH.
    idempotent: Option<bool>,
    /// Seconds that one try may take, from connecting to the last byte of the reply. Default: 60.
    #[serde(default = "usual_timeout", deserialize_with = "flowrun_net::limits::timeout")]
    #[schemars(with = "f64", range(min = 0.001, max = 86400.0), extend("default" = 60))]
    timeout: Duration,
    /// Most bytes of the reply; more is the error `http.too_large`.
    #[serde(default = "usual_reply")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    max_response_bytes: usize,
    /// Most redirects that are followed; with 0, a redirect is a status like any other.
    #[serde(default = "usual_redirects")]
    #[schemars(range(max = 20))]
    max_redirects: u32,
    /// Allows `http://` to other machines.
    #[serde(default)]
    allow_insecure_http: bool,
    /// The beginnings of addresses that are allowed, such as `https://api.example.com/v1`; by default all. The port may be
    /// `*`.
    #[serde(default)]
    url_allow_list: Vec<String>,
    /// Allows a user name and password in `url`.
    #[serde(default = "yes")]
    allow_credentials: bool,
    /// Allows a `#` part in `url`; it is never sent.
    #[serde(default = "yes")]
    allow_fragments: bool,
    /// Allows servers in private networks, and names that lead to this machine.
    #[serde(default)]
    allow_private_addresses: bool,
    #[serde(skip)]
    queries: Queries,
}

fn usual_timeout() -> Duration {
    Limits::default().timeout
}

fn usual_reply() -> usize {
    Limits::default().largest_reply
}

fn usual_redirects() -> u32 {
    Limits::default().redirects
}

fn yes() -> bool {
    true
}

/// What is journaled of a reply.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    outputs: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<Arc<str>>,
}

fn parts(pieces: &[Piece]) -> impl Iterator<Item = Part<'_>> + Clone {
    pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => Part::Literal(text),
        Piece::Value(text) => Part::Value(text),
    })
}

fn refused(message: impl Into<String>) -> StepError {
    StepError::new("http.request", message)
}

/// A scalar as text; the others have no form in a query, a form or a header.
fn scalar(name: &str, value: &Value) -> Result<String, StepError> {
    match cast::cast(value.clone(), &Type::string()) {
        Ok(Value::String(text)) if !matches!(value, Value::List(_) | Value::Object(_)) => Ok(text.to_string()),
        _ => Err(refused(format!("`{name}` is {value}, where a text or a number can be sent"))),
    }
}

/// The fields of a form or a query.
fn fields(key: &str, value: &Value) -> Result<Vec<(String, String)>, StepError> {
    let Value::Object(object) = value else {
        return Err(refused(format!("`{key}` is a {}, not a mapping", value.type_name())));
    };
    let mut fields = Vec::with_capacity(object.len());
    for (name, value) in object.iter() {
        match value {
            Value::Null => {}
            Value::List(items) => {
                for item in items.items() {
                    fields.push((name.to_string(), scalar(name, item)?));
                }
            }
            value => fields.push((name.to_string(), scalar(name, value)?)),
        }
    }
    Ok(fields)
}

fn pairs(fields: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn method(text: &str) -> Result<Method, String> {
    let name = text.trim().to_ascii_uppercase();
    let known = METHODS.contains(&name.as_str()).then(|| name.parse().ok()).flatten();
    known.ok_or_else(|| format!("`{}` is no method of HTTP", text.escape_debug()))
}

fn net_error(error: flowrun_net::Error) -> StepError {
    let step = StepError::new(error.kind.code(), error.message).help(error.help);
    if error.tries > 1 { step.detail("tries", error.tries.to_string()) } else { step }
}

impl HttpStep {
    fn rules(&self) -> Result<Rules, StepError> {
        let allow_list = self.url_allow_list.iter().map(|entry| entry.parse::<AllowedUrl>());
        Ok(Rules {
            allow_insecure_http: self.allow_insecure_http,
            allow_list: allow_list.collect::<Result<_, _>>().map_err(|e| refused(e.to_string()))?,
            allow_credentials: self.allow_credentials,
            allow_fragments: self.allow_fragments,
            allow_private_addresses: self.allow_private_addresses,
        })
    }

    fn bodies(&self) -> impl Iterator<Item = (&'static str, &Filled)> {
        let all = [("json", &self.json), ("data", &self.data), ("params", &self.params)];
        all.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }

    fn texts(&self) -> impl Iterator<Item = (Vec<String>, &Template)> {
        let one = |key: &str| vec![key.to_owned()];
        let method = self.method.iter().map(move |text| (one("method"), &**text));
        let maps = [
            ("headers", &self.headers),
            ("sensitive_headers", &self.sensitive_headers),
            ("cookies", &self.cookies),
        ];
        let named = maps.into_iter().flat_map(|(key, texts)| {
            texts.iter().map(move |(name, text)| (vec![key.to_owned(), name.clone()], &**text))
        });
        std::iter::once((one("url"), &*self.url)).chain(method).chain(named)
    }

    fn inputs(&self) -> Vec<Port> {
        let texts = self.texts().map(|(path, text)| (path, 0, text.variables()));
        let bodies = self.bodies().flat_map(|(key, body)| body.reads(key));
        let reads: Vec<(Vec<String>, usize, &[Variable])> = texts.chain(bodies).collect();
        inputs_read(reads)
    }

    fn problems(&self, scope: &Scope<'_>) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        for (key, body) in self.bodies() {
            wrong.extend(body.problems(scope, key));
        }
        if self.json.is_some() && self.data.is_some() {
            wrong.push(scope.bad_key(&["data"], "a request has one body, `json` or `data`"));
        }
        for (n, entry) in self.url_allow_list.iter().enumerate() {
            if let Err(error) = entry.parse::<AllowedUrl>() {
                wrong.push(scope.bad(&["url_allow_list", &n.to_string()], error.to_string()));
            }
        }
        self.problems_of_headers(scope, &mut wrong);
        if let Some(text) = self.method.as_ref().filter(|text| text.variables().is_empty())
            && let Ok(name) = text.render(|_| None)
            && let Err(message) = method(&name)
        {
            wrong.push(
                scope.bad(&["method"], message).suggest(&name.to_ascii_uppercase(), METHODS.iter().copied()),
            );
        }
        self.problems_of_url(scope, &mut wrong);
        wrong.extend(self.problems_of_outputs(scope));
        wrong
    }

    fn problems_of_headers(&self, scope: &Scope<'_>, wrong: &mut Diagnostics) {
        let mut seen = Vec::new();
        for (key, names) in [("headers", &self.headers), ("sensitive_headers", &self.sensitive_headers)] {
            for written in names.keys() {
                match header_name(written) {
                    Err(message) => wrong.push(scope.bad_key(&[key, written], message)),
                    Ok(name) if name == "cookie" && !self.cookies.is_empty() => {
                        wrong.push(scope.bad_key(&[key, written], "the header `cookie` is what `cookies` makes"));
                    }
                    Ok(name) if seen.contains(&name) => {
                        wrong.push(scope.bad_key(&[key, written], format!("the header `{name}` is given twice")));
                    }
                    Ok(name) => seen.push(name),
                }
            }
        }
    }

    /// What can be said of the address before its values are known.
    fn problems_of_url(&self, scope: &Scope<'_>, wrong: &mut Diagnostics) {
        // A broken list is told already.
        let Ok(rules) = self.rules() else { return };
        if self.url.variables().is_empty() {
            let Ok(pieces) = self.url.render_pieces(|_| None) else { return };
            match assemble(parts(&pieces)) {
                Err(error) => wrong.push(scope.bad(&["url"], error.to_string())),
                Ok(url) => {
                    if let Err(refused) = rules.check(&url) {
                        wrong.push(scope.bad(&["url"], refused.message).help(refused.help));
                    }
                }
            }
            return;
        }
        let text = scope.config().get("url").and_then(|node| node.as_str()).unwrap_or_default();
        let before = text.split("{{").next().unwrap_or_default();
        if rules.allow_list.is_empty() && !has_fixed_host([Part::Literal(before), Part::Value("")]) {
            let message = "the host of `url` comes from a value, so that the request could go anywhere";
            wrong.push(scope.bad(&["url"], message).help("name the hosts that are meant in `url_allow_list`"));
        }
    }

    fn url(&self, input: &Ports, rules: &Rules) -> Result<Url, StepError> {
        let wrong = |message: String| StepError::new("http.refused_url", message);
        let pieces = self.url.render_pieces(|name| input.get(name).cloned())?;
        if rules.allow_list.is_empty() && !has_fixed_host(parts(&pieces)) {
            let message = "the host of the address comes from a value, so that the request could go anywhere";
            return Err(wrong(message.to_owned()).help("name the hosts that are meant in `url_allow_list`"));
        }
        let mut url = assemble(parts(&pieces)).map_err(|e| {
            wrong(e.to_string()).help("check the values in `url`; what may hold anything is better under `params`")
        })?;
        if let Some(params) = &self.params {
            add_params(&mut url, pairs(&fields("params", &params.fill(input)?)?));
        }
        Ok(url)
    }

    fn request(&self, identity: String, input: &Ports, rules: &Rules) -> Result<Request, StepError> {
        let get = |name: &str| input.get(name).cloned();
        let name = self.method.as_ref().map(|text| text.render(get)).transpose()?;
        let method = method(name.as_deref().unwrap_or("GET")).map_err(refused)?;
        let mut request = Request::new(method, self.url(input, rules)?, identity);
        request.limits = Limits {
            timeout: self.timeout,
            largest_reply: self.max_response_bytes,
            redirects: self.max_redirects,
            retry: self.retry.clone(),
            idempotent: self.idempotent,
        };
        for (name, text) in &self.headers {
            request.header(name, &text.render(get)?, false).map_err(net_error)?;
        }
        // What the engine says of a text may quote the value, which is a secret here.
        let secret = |key: &str, name: &str, text: &Text| {
            text.render(get).map_err(|_| {
                let message =
                    format!("the text of `{name}` under `{key}` cannot be rendered; its values are secret");
                StepError::new("template.failed", message)
            })
        };
        for (name, text) in &self.sensitive_headers {
            request.header(name, &secret("sensitive_headers", name, text)?, true).map_err(net_error)?;
        }
        let mut cookies = Vec::with_capacity(self.cookies.len());
        for (name, text) in &self.cookies {
            cookies.push((name.clone(), secret("cookies", name, text)?));
        }
        request.cookies(pairs(&cookies)).map_err(net_error)?;
        self.fill_body(&mut request, input)?;
        Ok(request)
    }

    fn fill_body(&self, request: &mut Request, input: &Ports) -> Result<(), StepError> {
        if let Some(json) = &self.json {
            let value = json.fill(input)?;
            let body = serde_json::to_vec(&value).map_err(|e| refused(format!("`json` cannot be sent: {e}")))?;
            request.body(body, "application/json");
        }
        match self.data.as_ref().map(|data| data.fill(input)).transpose()? {
            None | Some(Value::Null) => {}
            Some(Value::Object(object)) => {
                let body = form(pairs(&fields("data", &Value::Object(object))?));
                request.body(body, "application/x-www-form-urlencoded");
            }
            Some(value) => request.body(scalar("data", &value)?, "text/plain; charset=utf-8"),
        }
        Ok(())
    }

    /// What is kept of a reply, which is an error where its status is.
    fn kept(&self, request: &Request, reply: &Response) -> Result<Kept, StepError> {
        if !reply.status.is_success() && !self.ignore_bad_status {
            return Err(bad_status(request, reply));
        }
        let response = if self.store_response {
            let no_text = |_| {
                let message =
                    format!("the reply of `{}` is no text in UTF-8", flowrun_net::url::shown(&reply.url));
                StepError::new("http.output", message).help("leave out `store_response`")
            };
            Some(reply.text().map_err(no_text)?.into())
        } else {
            None
        };
        Ok(Kept { status: reply.status.as_u16(), outputs: self.found(request, reply)?, response })
    }
}

fn bad_status(request: &Request, reply: &Response) -> StepError {
    let message = format!("`{}` answered {}", flowrun_net::url::shown(&reply.url), reply.status);
    let help = match reply.status.as_u16() {
        401 | 403 => "check what the request says who it is, usually a header under `sensitive_headers`",
        300..=399 => "ask the address that it redirects to, or raise `max_redirects`",
        _ => "read the reply; `ignore_bad_status: true` takes every status, and `catch` gives this error a branch",
    };
    let mut error = StepError::new("http.status", message).detail("status", reply.status.as_u16().to_string());
    if reply.tries > 1 {
        error = error.detail("tries", reply.tries.to_string());
    }
    if !reply.body.is_empty() {
        error = error.detail("reply", reply.excerpt(request));
    }
    error.help(help)
}

impl Step for HttpStep {
    const TYPE: &'static str = "http";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "weather:\n  type: http\n  url: \"https://api.example.com/v1/cities/{{ city }}\"\n  params: { units: metric, day: \"{{ day }}\" }\n  sensitive_headers: { Authorization: \"Bearer ${WEATHER_TOKEN}\" }\n  extract: { temperature: .now.temperature, alerts: '[.alerts[].title]' }\n  types: { temperature: number, alerts: [string] }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("VARIABLE", Type::any()).doc("One for each variable of the texts.")],
            outputs: vec![
                Port::new("NAME", Type::any()).doc("One for each key of `extract`."),
                Port::new(STATUS, Type::integer()).doc("The status, such as 200."),
                Port::new(RESPONSE, Type::string()).doc("The whole reply, with `store_response`."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let wrong = self.problems(scope);
        if wrong.has_errors() {
            return Err(wrong);
        }
        let mut outputs: Vec<Port> =
            self.extract.keys().map(|name| Port::new(name.as_str(), self.type_of(name))).collect();
        outputs.push(Port::new(STATUS, Type::integer()));
        if self.store_response {
            outputs.push(Port::new(RESPONSE, Type::string()));
        }
        Ok(Signature::new(self.inputs(), outputs))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let client = cx.resource::<Client>()?;
        let rules = self.rules()?;
        let request = self.request(cx.identity("reply"), &input, &rules)?;
        let kept: Kept = cx
            .effect("reply", || async {
                let reply = client.send(&request, &rules).await.map_err(net_error)?;
                self.kept(&request, &reply)
            })
            .await?;
        let mut outputs = self.typed(kept.outputs)?;
        outputs.push((STATUS.into(), Value::Int(kept.status.into())));
        if let Some(response) = kept.response {
            outputs.push((RESPONSE.into(), Value::String(response)));
        }
        Ok(Outcome::next(outputs.into_iter().collect()))
    }
}
