//! Datastores on a Postgres server. The server is that of `FLOWRUN_TEST_POSTGRES`, an address whose user may make
//! schemas; `.ci/run` starts one, or says that these tests were skipped. `cargo test` alone counts them as ignored; with a
//! server, `cargo test --test tests postgres -- --ignored` runs them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flowrun::core::execute::Kept;
use flowrun::core::spec::{CollectionSpec, InputSpec};
use flowrun::core::types::Type;
use flowrun::core::value::{Object, Value};
use flowrun::stores::{
    Change, Collection, Filter, Memory, Once, Postgres, Query, Row, Schema, Store, StoreConfig, StoreError, Url,
};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

use crate::support::{Engine, Sandbox, registry};

/// A schema of its own on the server.
struct Server {
    url: String,
    runtime: Runtime,
}

impl Server {
    fn with(schema: &str) -> Self {
        let url =
            std::env::var("FLOWRUN_TEST_POSTGRES").expect("FLOWRUN_TEST_POSTGRES is the address of a server");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let schema = format!("flowrun_{schema}_{}", std::process::id());
        let sign = if url.contains('?') { '&' } else { '?' };
        let server = Self { url: format!("{url}{sign}options=-csearch_path%3D{schema}"), runtime };
        server.sql(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"));
        server
    }

    /// Runs SQL of another hand.
    fn sql(&self, sql: &str) -> Vec<String> {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            tokio::spawn(connection);
            let rows = client.simple_query(sql).await.unwrap();
            let text = |row: &tokio_postgres::SimpleQueryMessage| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
                _ => None,
            };
            rows.iter().filter_map(text).collect()
        })
    }

    fn store(&self, create_tables: bool, preview: bool) -> Postgres {
        let (url, timeout) = (Url::new(&self.url), Duration::from_secs(2));
        Postgres::new(&url, schema(), create_tables, timeout, preview).unwrap()
    }

    fn put(&self, store: &Postgres, entity: Json) -> Result<(), StoreError> {
        let schema = schema();
        let things = schema.collection("things").unwrap();
        let row = things.row(&object(entity)).unwrap();
        self.runtime.block_on(store.create(things, &row))
    }

    fn all(&self, store: &Postgres) -> Result<Vec<Row>, StoreError> {
        let schema = schema();
        let things = schema.collection("things").unwrap();
        self.runtime.block_on(store.list(things, &Filter::default(), None))
    }

    fn ask(&self, store: &Postgres, sql: &str, values: &[(&str, Value)]) -> Result<Json, StoreError> {
        let config = StoreConfig::Postgres { url: Url::new(""), create_tables: false, timeout: 1 };
        let query = Query::parse(sql, &config, &schema()).map_err(|e| StoreError::new("store.query", e))?;
        let values: Vec<_> = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let rows = self.runtime.block_on(store.query(&query, &values))?.objects()?;
        Ok(rows.into_iter().map(|row| Value::Object(row).to_json().unwrap()).collect())
    }
}

fn schema() -> Arc<Schema> {
    let columns = [
        ("id", "integer"),
        ("name", "string?"),
        ("share", "number?"),
        ("good", "boolean?"),
        ("price", "decimal?"),
        ("day", "date?"),
        ("at", "timestamp?"),
        ("took", "duration?"),
        ("tags", "array?"),
        ("a \"b\"; --", "any"),
    ];
    let column = |(name, word): (&str, &str)| InputSpec {
        name: name.to_owned().into(),
        value_type: Type::from_word(word).unwrap(),
        default: None,
        description: None,
        secret: false,
    };
    let things = CollectionSpec { name: "things".to_owned().into(), columns: columns.map(column).into() };
    Arc::new(Schema::new("shop", &[things]))
}

fn object(json: Json) -> Object {
    Value::try_from(json).unwrap().as_object().unwrap().clone()
}

fn things() -> Arc<Collection> {
    Arc::clone(schema().collection("things").unwrap())
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn what_goes_in_comes_out_with_its_types() {
    let server = Server::with("types");
    let entity = json!({
        "id": i64::MAX, "name": "é'\"$1;--", "share": 0.1, "good": true, "price": "12.50", "day": "2026-01-31",
        "at": "2026-01-31T12:00:00.000005Z", "took": "PT5400.5S", "tags": ["a", null], "a \"b\"; --": "a text",
    });
    let store = server.store(true, false);
    server.put(&store, entity.clone()).unwrap();
    assert_eq!(server.all(&store).unwrap(), [things().row(&object(entity)).unwrap()]);
    assert_eq!(server.sql("SELECT \"a \"\"b\"\"; --\" FROM things"), ["\"a text\""], "a text in a column of JSON");
}

/// As the memory store finds and changes rows, so does the server; only the order is its own.
#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn it_agrees_with_the_memory_store() {
    let server = Server::with("agree");
    let (store, mut memory, things) = (server.store(true, false), Memory::new(schema()), things());
    for n in 0..12_i64 {
        let name = match n % 3 {
            0 => Json::Null,
            1 => json!("' OR 1=1 --"),
            _ => json!("Z"),
        };
        let entity =
            json!({"id": n, "name": name, "good": n % 2 == 0, "price": format!("{}.50", n % 4), "a \"b\"; --": n});
        server.put(&store, entity.clone()).unwrap();
        memory.apply(&Memory::adding(&things, &things.row(&object(entity)).unwrap())).unwrap();
    }
    let run = &server.runtime;
    let filters = [
        json!({}),
        json!({"name": null}),
        json!({"name": "' OR 1=1 --", "good": true}),
        json!({"name": "' OR ''='"}),
        json!({"price": "1.5", "share": null}),
        json!({"id": 3.0, "good": false}),
    ];
    for filter in filters {
        let filter = object(filter);
        let filter = things.filter(filter.iter().map(|(k, v)| (&**k, v.clone()))).unwrap();
        for limit in [None, Some(2)] {
            let found = memory.list(&things, &filter, limit).unwrap();
            assert_eq!(run.block_on(store.list(&things, &filter, limit)).unwrap(), found, "{filter:?}");
        }
        let update = things.update(&object(json!({"share": 0.5, "name": "'; DROP TABLE things; --"}))).unwrap();
        let after: Vec<Row> =
            memory.list(&things, &filter, None).unwrap().iter().map(|row| update.of(row)).collect();
        assert_eq!(run.block_on(store.update(&things, &filter, &update)).unwrap(), after);
        memory.apply(&Memory::updating(&things, &filter, &update)).unwrap();
        assert_eq!(server.all(&store).unwrap(), memory.list(&things, &Filter::default(), None).unwrap());
    }
    let filter = things.filter([("good", Value::Bool(true))]).unwrap();
    let gone = memory.count(&things, &filter);
    assert_eq!(server.runtime.block_on(store.delete(&things, &filter)).unwrap(), gone);
    assert_eq!(server.all(&store).unwrap().len(), 6);
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn a_query_reads_and_does_nothing_else() {
    let server = Server::with("query");
    let store = server.store(true, false);
    server.put(&store, json!({"id": 1, "name": "a", "a \"b\"; --": null})).unwrap();
    server.put(&store, json!({"id": 2, "name": "b", "a \"b\"; --": null})).unwrap();
    let sql =
        "SELECT sum(id) AS total, now() > :day::timestamptz AS later, :what AS what, max(id) FROM things -- :x";
    let values = [("day", Value::from("2020-01-01")), ("what", Value::from("'; DROP TABLE things; --"))];
    assert_eq!(
        server.ask(&store, sql, &values).unwrap(),
        json!([{"total": "3", "later": true, "what": "'; DROP TABLE things; --", "max": 2}])
    );
    let ordered =
        "SELECT id, jsonb_build_object('n', id) AS more, interval '90 min' AS took FROM things ORDER BY id DESC;";
    assert_eq!(
        server.ask(&store, ordered, &[]).unwrap(),
        json!([{"id": 2, "more": {"n": 2}, "took": "PT5400S"}, {"id": 1, "more": {"n": 1}, "took": "PT5400S"}])
    );
    for sql in [
        "DELETE FROM things",
        "SELECT 1) AS x; DELETE FROM things; SELECT (1",
        "WITH gone AS (DELETE FROM things RETURNING id) SELECT * FROM gone",
        "SELECT nextval('s')",
        "SELECT set_config('transaction_read_only', 'off', false), setval('s', 5)",
        "COPY things TO '/tmp/x'",
        "COMMIT",
        "SELECT id, id FROM things",
        "SELECT nmae FROM things",
        "SELECT $1",
    ] {
        server.sql("CREATE SEQUENCE IF NOT EXISTS s");
        let error = server.ask(&store, sql, &[]).unwrap_err();
        assert!(["store.query", "store.not_read_only"].contains(&error.code), "{sql}: {error:?}");
    }
    assert_eq!(server.sql("SELECT is_called FROM s"), ["f"]);
    assert_eq!(server.ask(&store, "SELECT pg_sleep(20)::text AS s", &[]).unwrap_err().code, "store.timeout");
    assert_eq!(server.all(&store).unwrap().len(), 2, "the rows are there, and the store can be used");
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn tables_that_do_not_fit_are_told() {
    let server = Server::with("tables");
    let why = || server.all(&server.store(false, false)).unwrap_err();
    let error = why();
    assert_eq!((error.code, error.help.is_some()), ("store.schema", true), "{error}");
    server.sql("CREATE TABLE things (id text, \"a \"\"b\"\"; --\" jsonb)");
    assert!(
        why().message.contains("`id` of the table `things` is text, which does not hold integer"),
        "{}",
        why()
    );
    server.sql("ALTER TABLE things ALTER id TYPE int2 USING id::int2");
    assert!(why().message.contains("no column `name`"), "{}", why());
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn a_preview_writes_nothing() {
    let server = Server::with("preview");
    let preview = server.store(true, true);
    server.put(&preview, json!({"id": 1, "a \"b\"; --": null})).unwrap();
    assert_eq!(server.all(&preview).unwrap().len(), 1);
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'things' AND schemaname = current_schema()"),
        ["0"]
    );
    drop(preview);
    let store = server.store(true, false);
    server.put(&store, json!({"id": 2, "a \"b\"; --": null})).unwrap();
    assert_eq!(server.all(&store).unwrap().len(), 1);
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn a_wrong_password_is_told_and_not_shown() {
    let server = Server::with("denied");
    server.sql("DROP ROLE IF EXISTS flowrun_denied; CREATE ROLE flowrun_denied");
    let mut url: String = server.url.clone();
    let (scheme, rest) = url.split_once("://").unwrap();
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    url = format!("{scheme}://flowrun_denied:hunter2@{rest}");
    let store = Postgres::new(&Url::new(&url), schema(), false, Duration::from_secs(2), false).unwrap();
    let error = server.all(&store).unwrap_err();
    assert_eq!(error.code, "store.open", "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
    server.sql("DROP ROLE flowrun_denied");
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn a_flow_writes_from_many_items_at_once() {
    let server = Server::with("items");
    let flow = "
flow: many
datastores: { s: { type: postgres, url: \"URL\", create_tables: true, collections: { rows: { n: integer, note: string? } } } }
steps:
  numbers: { type: synthesize, rows: 40, columns: { n: { sample: sequence } } }
  each: { type: map, flow: put, over: { entity: numbers.table }, parallel: 16 }
  all: { type: datastore_list, datastore: s, collection_name: rows, limit: 3 }
  count: { type: datastore_query, datastore: s, query: \"SELECT count(*) AS n FROM rows WHERE n > :least\", with: { least: { value: 10 } } }
outputs: { all: all.entities, count: count.result }
flows:
  put:
    inputs: { entity: object }
    steps: { put: { type: datastore_create, datastore: s, collection_name: rows } }
    outputs: { put: put.created_entity }
";
    let engine = Engine::of(&flow.replace("URL", &server.url), &registry());
    let outputs = engine.run(BTreeMap::new()).unwrap();
    let outputs: BTreeMap<_, _> =
        outputs.values.iter().map(|(name, value)| (name.to_string(), value.to_json().unwrap())).collect();
    let first = |n: i64| json!({"n": n, "note": null});
    let least = outputs["all"][0]["n"].as_i64().unwrap();
    assert_eq!(outputs["all"], json!([first(least), first(least + 1), first(least + 2)]));
    assert_eq!(outputs["count"], json!([{"n": 30 - (1 - least)}]));
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn the_program_takes_the_address_from_the_environment() {
    let server = Server::with("program");
    let sandbox = Sandbox::new().env("DATABASE_URL", &server.url);
    sandbox.write(
        "flow.yaml",
        "
flow: program
datastores: { s: { type: postgres, url: \"${DATABASE_URL}\", create_tables: true, collections: { rows: { n: integer } } } }
steps:
  put: { type: datastore_create, datastore: s, collection_name: rows, with: { entity: { value: { n: 1 } } } }
  all: { type: datastore_list, datastore: s, collection_name: rows }
outputs: { all: all.entities }
",
    );
    for rows in [json!([{"n": 1}]), json!([{"n": 1}, {"n": 1}])] {
        assert_eq!(sandbox.must_run(["flow.yaml", "--json"]).json()["outputs"]["all"], rows);
    }
}

#[test]
#[ignore = "wants a server, FLOWRUN_TEST_POSTGRES"]
fn a_change_with_a_mark_is_made_once() {
    let server = Server::with("marks");
    let store = server.store(true, false);
    let (things, entity) = (things(), json!({ "id": 1, "a \"b\"; --": null }));
    let row = things.row(&object(entity)).unwrap();
    for run in ["a", "b", "a"] {
        let once = Once::new(run, "put#1");
        server.runtime.block_on(store.change(&things, &Change::Create(row.clone()), Some(&once))).unwrap();
    }
    assert_eq!(server.sql("SELECT count(*) FROM things"), ["2"]);
    server.runtime.block_on(store.forget("a")).unwrap();
    assert_eq!(server.sql("SELECT key FROM flowrun_effects"), ["b/put#1"]);
}
