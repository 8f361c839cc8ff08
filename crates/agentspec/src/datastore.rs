//! Datastores and their collections.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::spec::{CollectionSpec, DatastoreSpec, InputSpec};

use crate::codes;
use crate::component::{CONNECTIONS, Component, unsupported};
use crate::config::{Config, text};
use crate::document::first_line;
use crate::import::Importer;

impl<'a> Importer<'a> {
    /// The name of the datastore that a component is here.
    pub(crate) fn datastore(&self, c: Component<'a>) -> Option<String> {
        let key = c.identity();
        if let Some(known) = self.datastores.borrow().known.get(&key) {
            return known.clone();
        }
        let spec = self.datastore_spec(c);
        let mut datastores = self.datastores.borrow_mut();
        let name = spec.map(|(config, collections)| {
            let name = datastores.names.unique(c.name());
            let spanned = Spanned::new(name.clone(), c.name_span().clone());
            datastores.specs.push(DatastoreSpec { name: spanned, config: config.finish(), collections });
            name
        });
        datastores.known.insert(key, name.clone());
        name
    }

    fn datastore_spec(&self, c: Component<'a>) -> Option<(Config, Vec<CollectionSpec>)> {
        let mut config = Config::new(&first_line(c.name_span()));
        match c.kind {
            "InMemoryCollectionDatastore" | "PluginInMemoryDatastore" => {
                self.doc.known_fields(c, &["datastore_schema"]);
                config.set("type", "memory");
            }
            "PostgresDatabaseDatastore" | "PluginPostgresDatabaseDatastore" => {
                self.doc.known_fields(c, &["datastore_schema", "connection_config"]);
                config.set("type", "postgres");
                self.connection(c, &mut config)?;
            }
            _ => {
                self.doc.report(unsupported(c));
                return None;
            }
        }
        for entry in c.own("config").and_then(flowrun_core::node::Node::entries).unwrap_or_default() {
            config.put(&entry.key, self.own_value(&entry.value));
        }
        if c.entry("datastore_schema").is_none() {
            self.doc.missing(c, "datastore_schema");
            return None;
        }
        let mut collections = Vec::new();
        for entry in self.doc.map(c, "datastore_schema") {
            let entity = self.doc.resolve(&entry.value)?;
            let Some(columns) = entity.get("properties").and_then(flowrun_core::node::Node::entries) else {
                let message = format!("the collection `{}` is no object with `properties`", entry.key);
                self.doc.error(codes::BAD_PROPERTY, message, &first_line(&entry.value.span));
                continue;
            };
            let columns = columns.iter().filter_map(|column| {
                let property = self.doc.untitled(&column.value, &column.key, &column.key_span)?;
                Some(InputSpec {
                    name: Spanned::new(property.title, property.span),
                    value_type: property.shape.to_type(),
                    default: property.default,
                    description: property.description,
                    secret: false,
                })
            });
            let name = Spanned::new(entry.key.to_string(), entry.key_span.clone());
            collections.push(CollectionSpec { name, columns: columns.collect() });
        }
        Some((config, collections))
    }

    /// The address of a Postgres server, with who asks.
    fn connection(&self, c: Component<'a>, config: &mut Config) -> Option<()> {
        let connection = self.doc.needed(c, "connection_config", &CONNECTIONS)?;
        let fields = ["user", "password", "url", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl"];
        self.doc.known_fields(connection, &fields);
        for field in ["sslcert", "sslkey", "sslrootcert", "sslcrl"] {
            if connection.entry(field).is_some() {
                self.unsupported_value(connection, field, "…");
            }
        }
        let url = self.doc.needed_text(connection, "url")?;
        let mut secrets = Vec::new();
        for field in ["user", "password"] {
            let Some(entry) = connection.entry(field) else {
                self.doc.missing(connection, field);
                return None;
            };
            match self.doc.secret(&entry.value) {
                Ok(value) => secrets.push(value.unwrap_or_default()),
                Err(secret) => {
                    self.not_given(&secret, &entry.value);
                    return None;
                }
            }
        }
        let mode = self.doc.text(connection, "sslmode").and_then(|mode| mode.as_str()).unwrap_or("require");
        let address = address(url.as_str().unwrap_or_default(), &secrets[0], &secrets[1], mode);
        config.put("url", text(address, &url.span));
        Some(())
    }
}

/// An address with a user, a password and whether TLS is spoken.
fn address(url: &str, user: &str, password: &str, mode: &str) -> String {
    let url = url.trim();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let join = if rest.contains('?') { '&' } else { '?' };
    let ssl = if rest.contains("sslmode=") { String::new() } else { format!("{join}sslmode={mode}") };
    format!("postgres://{}:{}@{rest}{ssl}", encoded(user), encoded(password))
}

/// Percent-encodes all that means something in an address.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_who_asks() {
        let with = |url| address(url, "me", "p@ss:/", "require");
        assert_eq!(with("postgresql://h:5432/db"), "postgres://me:p%40ss%3A%2F@h:5432/db?sslmode=require");
        assert_eq!(with("h/db?sslmode=disable"), "postgres://me:p%40ss%3A%2F@h/db?sslmode=disable");
        assert_eq!(with("postgres://old:user@h/db?a=b"), "postgres://me:p%40ss%3A%2F@h/db?a=b&sslmode=require");
    }
}
