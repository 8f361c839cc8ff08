//! What a flow defines by name, as components: models and datastores.

use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{DatastoreSpec, DefinitionSpec};
use serde_json::{Map, Value as Json, json};

use super::node::component;
use super::nodes::policy;
use super::secrets::{is_secret, json_of};
use super::{Env, Exporter, properties, reference};
use crate::model::{SETTINGS, base_url};

/// The tries and waits of a model that says none.
const USUAL_TRIES: (i64, f64, f64) = (6, 0.5, 30.0);

fn key<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}

impl Exporter<'_> {
    /// The component that a definition is, written where that has not been done.
    pub(super) fn defined<T>(
        &mut self,
        of: &T,
        name: &str,
        make: impl FnOnce(&mut Self, &str) -> Map<String, Json>,
    ) -> Json {
        if let Some(id) = self.definitions.get(&key(of)) {
            return reference(id);
        }
        let id = self.id(name);
        self.definitions.insert(key(of), id.clone());
        let made = make(self, &id);
        self.shared.insert(id.clone(), Json::Object(made));
        reference(&id)
    }

    /// The model of a name.
    pub(crate) fn model(&mut self, env: &Env<'_>, name: &str) -> Option<Json> {
        let owner = env.chain().find(|e| e.spec.models.iter().any(|m| m.name.value == name))?;
        let definition = owner.spec.models.iter().find(|m| m.name.value == name)?;
        let config = resolved(owner, definition);
        Some(self.defined(definition, name, |me, id| me.model_component(id, name, &config)))
    }

    fn model_component(&mut self, id: &str, name: &str, config: &[Entry]) -> Map<String, Json> {
        let get = |key: &str| config.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value);
        let text = |key: &str| get(key).and_then(Node::as_str);
        let url = text("base_url");
        let kind = if url.is_some() { "OpenAiCompatibleConfig" } else { "OpenAiConfig" };
        let mut map = component(kind, id, name, None);
        let mut said = vec!["model", "api_key"];
        let mut own = Map::new();
        match url {
            Some(written) => {
                // By custom the version is left out.
                let short = written.strip_suffix("/v1").filter(|short| base_url(short) == written);
                let url = short.unwrap_or(written);
                map.insert("url".into(), json!(url));
                if base_url(url) == written {
                    said.push("base_url");
                }
            }
            // The public endpoint's newest models are asked otherwise; this one says how it is asked.
            None if get("max_tokens_key").is_none() => {
                own.insert("max_tokens_key".into(), json!("max_tokens"));
            }
            None => {}
        }
        map.insert("model_id".into(), json!(text("model").unwrap_or("gpt-4o-mini")));
        if let Some(key) = get("api_key").filter(|node| node.kind != NodeKind::Null) {
            let found = self.secret(id, "api_key", &key.span);
            map.insert("api_key".into(), found);
        }
        let mut settings = Map::new();
        for entry in config.iter().filter(|entry| SETTINGS.contains(&&*entry.key)) {
            settings.insert(entry.key.to_string(), json_of(&entry.value));
        }
        said.extend(SETTINGS);
        let extra = get("extra").and_then(Node::entries).unwrap_or_default();
        if extra.iter().all(|entry| !SETTINGS.contains(&&*entry.key) && entry.value.kind != NodeKind::Null) {
            settings.extend(extra.iter().map(|entry| (entry.key.to_string(), json_of(&entry.value))));
            said.push("extra");
        }
        if !settings.is_empty() {
            map.insert("default_generation_parameters".into(), Json::Object(settings));
        }
        if let Some(policy) = policy(get("retry"), get("timeout"), USUAL_TRIES) {
            map.insert("retry_policy".into(), policy);
            said.extend(["retry", "timeout"]);
            self.needs(
                "26.1.2",
                format!("the retries of the model `{name}`"),
                &flowrun_core::diagnostics::Span::none(),
            );
        }
        for entry in config.iter().filter(|entry| !said.contains(&&*entry.key)) {
            own.insert(entry.key.to_string(), self.without_secrets(id, &entry.value));
        }
        carry(&mut map, &own);
        map
    }

    /// The datastore of a name.
    pub(crate) fn store(&mut self, env: &Env<'_>, name: &str) -> Option<Json> {
        let find = |spec: &'_ &DatastoreSpec| spec.name.value == name;
        let stores = env.chain().flat_map(|env| &env.spec.datastores);
        let spec = stores.into_iter().find(find)?;
        Some(self.defined(spec, name, |me, id| me.store_component(id, spec)))
    }

    fn store_component(&mut self, id: &str, spec: &DatastoreSpec) -> Map<String, Json> {
        let name = &spec.name.value;
        let postgres = spec.config.get("type").and_then(Node::as_str) == Some("postgres");
        let memory = spec.config.get("type").and_then(Node::as_str) == Some("memory");
        let kind = if postgres { "PostgresDatabaseDatastore" } else { "InMemoryCollectionDatastore" };
        self.needs("26.1.2", format!("the datastore `{name}`"), &spec.name.span);
        let mut map = component(kind, id, name, None);
        let mut schema = Map::new();
        for collection in &spec.collections {
            let columns = collection.columns.iter().map(|column| {
                let mut property = properties::schema(&column.value_type);
                property.extend(column.description.as_ref().map(|text| ("description".to_owned(), json!(text))));
                let default = column.default.as_ref().and_then(|value| value.to_json().ok());
                property.extend(default.map(|value| ("default".to_owned(), value)));
                (column.name.value.clone(), Json::Object(property))
            });
            let columns: Map<String, Json> = columns.collect();
            let entity = json!({ "title": collection.name.value, "type": "object", "properties": columns });
            schema.insert(collection.name.value.clone(), entity);
        }
        map.insert("datastore_schema".into(), Json::Object(schema));
        let mut own = Map::new();
        let mut said: Vec<&str> = if postgres || memory { vec!["type"] } else { Vec::new() };
        if postgres && let Some(url) = spec.config.get("url") {
            said.push("url");
            let connection = self.connection(id, name, url);
            map.insert("connection_config".into(), connection);
        }
        for entry in spec.config.entries().unwrap_or_default().iter().filter(|e| !said.contains(&&*e.key)) {
            let value = if is_secret(&entry.key) {
                self.secret(id, &entry.key, &entry.key_span)
            } else {
                self.without_secrets(id, &entry.value)
            };
            own.insert(entry.key.to_string(), value);
        }
        carry(&mut map, &own);
        map
    }

    /// Where a server is, without who asks it.
    fn connection(&mut self, id: &str, name: &str, url: &Node) -> Json {
        let written = url.as_str().unwrap_or_default();
        let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let id = self.id(&format!("{id} connection"));
        let mut map = component("TlsPostgresDatabaseConnectionConfig", &id, &format!("{name} connection"), None);
        for field in ["user", "password"] {
            let found = self.secret(&id, field, &url.span);
            map.insert(field.into(), found);
        }
        map.insert("url".into(), json!(place));
        Json::Object(map)
    }
}

/// What no field of a component says.
fn carry(map: &mut Map<String, Json>, own: &Map<String, Json>) {
    if !own.is_empty() {
        map.insert("metadata".into(), json!({ "flowrun": { "config": own } }));
    }
}

/// A model with all that it takes over from others.
fn resolved(env: &Env<'_>, definition: &DefinitionSpec) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut here = Some(definition);
    let mut seen = Vec::new();
    while let Some(found) = here.take().filter(|found| !seen.contains(&key(*found))) {
        seen.push(key(found));
        for entry in found.config.entries().unwrap_or_default() {
            if &*entry.key != "use" && !entries.iter().any(|known| known.key == entry.key) {
                entries.push(entry.clone());
            }
        }
        let base = found.config.get("use").and_then(Node::as_str);
        here = base.and_then(|name| env.chain().find_map(|e| e.spec.models.iter().find(|m| m.name.value == name)));
    }
    entries
}
