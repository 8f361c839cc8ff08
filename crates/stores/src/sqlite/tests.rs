use flowrun_core::execute::Kept;
use flowrun_core::value::Object;
use proptest::prelude::*;

use super::*;
use crate::collection::tests::{collection, object};
use crate::{Memory, StoreConfig};

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
        ("tags", "tags"),
        ("more", "any"),
    ];
    let mut spec = collection("things", &columns);
    spec.columns[8].default = Some(Value::from(Vec::<Value>::new()));
    Arc::new(Schema::new("shop", &[spec, collection("other \"one\"", &[("a \"b\"; --", "string")])]))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn store(folder: &tempfile::TempDir, preview: bool) -> Sqlite {
    let path = folder.path().join("below/shop.sqlite");
    Sqlite::new(path, "shop.sqlite".to_owned(), schema(), Duration::from_secs(2), preview)
}

fn sqlite() -> StoreConfig {
    serde_json::from_str(r#"{"type": "sqlite", "path": "x"}"#).unwrap()
}

fn parsed(sql: &str) -> Result<Query, String> {
    Query::parse(sql, &sqlite(), &schema())
}

fn ask(store: &Sqlite, sql: &str, values: &[(String, Value)]) -> Result<Vec<Object>, StoreError> {
    // Parsed as a string first, then past the check, as a store of another hand might need.
    let query = parsed(sql).map_err(|e| StoreError::new("store.query", e))?;
    runtime().block_on(store.query(&query, values))?.objects()
}

fn all(store: &Sqlite, name: &str) -> Vec<Row> {
    let schema = schema();
    let collection = schema.collection(name).unwrap();
    runtime().block_on(store.list(collection, &Filter::default(), None)).unwrap()
}

fn put(store: &Sqlite, name: &str, entity: serde_json::Value) {
    let schema = schema();
    let collection = schema.collection(name).unwrap();
    let row = collection.row(&object(entity)).unwrap();
    runtime().block_on(store.create(collection, &row)).unwrap();
}

#[test]
fn what_goes_in_comes_out_with_its_types() {
    let folder = tempfile::tempdir().unwrap();
    let entity = serde_json::json!({
        "id": i64::MAX, "name": "é'\"\u{0};--", "share": 6.0, "good": true, "price": "12.50", "day": "2026-01-31",
        "at": "2026-01-31T12:00:00.5Z", "took": "PT90.5S", "tags": ["a", "b"], "more": {"x": [1, 2.0, null]},
    });
    put(&store(&folder, false), "things", entity.clone());
    let rows = all(&store(&folder, false), "things");
    let schema = schema();
    let things = schema.collection("things").unwrap();
    assert_eq!(rows, [things.row(&object(entity)).unwrap()]);
    assert_eq!(rows[0][5].type_name(), "date");
    assert_eq!(rows[0][2], Value::Float(6.0));
}

#[test]
fn names_and_values_never_become_sql() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, false);
    let evil = "x'); DROP TABLE things; --";
    put(&store, "other \"one\"", serde_json::json!({"a \"b\"; --": evil}));
    let schema = schema();
    let other = schema.collection("other \"one\"").unwrap();
    let filter = |text: &str| other.filter([("a \"b\"; --", Value::from(text))]).unwrap();
    let found = |text: &str| runtime().block_on(store.list(other, &filter(text), None)).unwrap().len();
    assert_eq!((found(evil), found("' OR 1=1 --"), found("x")), (1, 0, 0));
    let update = other.update(&object(serde_json::json!({"a \"b\"; --": "'; DELETE FROM things; --"}))).unwrap();
    assert_eq!(runtime().block_on(store.update(other, &filter("' OR ''='"), &update)).unwrap().len(), 0);
    assert_eq!(runtime().block_on(store.delete(other, &filter("' OR ''='"))).unwrap(), 0);
    let rows = ask(
        &store,
        "SELECT count(*) AS n FROM \"other \"\"one\"\"\" WHERE \"a \"\"b\"\"; --\" = :x",
        &[("x".to_owned(), Value::from("' OR 1=1 --"))],
    );
    assert_eq!(rows.unwrap()[0].get("n"), Some(&Value::Int(0)));
    assert_eq!(all(&store, "things").len(), 0, "the table is still there");
}

#[test]
fn a_query_reads_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, false);
    put(&store, "things", serde_json::json!({"id": 1, "name": "a", "more": 1}));
    for (sql, why) in [
        ("DELETE FROM things", "does more than read"),
        ("INSERT INTO things (id) VALUES (1)", "does more than read"),
        ("UPDATE things SET id = 2 RETURNING id", "does more than read"),
        ("DROP TABLE things", "does more than read"),
        ("PRAGMA journal_mode = WAL", "does more than read"),
        ("ATTACH '/tmp/x' AS y", "does more than read"),
        ("BEGIN", "does more than read"),
        ("VACUUM INTO '/tmp/x'", "does more than read"),
        ("SELECT load_extension('x')", "does more than read"),
        ("SELECT sql FROM sqlite_schema", "does more than read"),
        ("SELECT * FROM pragma_table_info('things')", "does more than read"),
        ("WITH x AS (SELECT 1) DELETE FROM things", "does more than read"),
        ("SELECT 1; DELETE FROM things", "does more than read"),
        ("SELECT 1 AS a; SELECT 2 AS b", "more than one statement"),
        ("SELECT nmae FROM things", "no such column: nmae"),
        ("SELECT 1 FROM nowhere", "no such table: nowhere"),
        ("SELECT id, id FROM things", "two columns"),
        ("SELECT '{{ x }}'", "write `:name`"),
        ("SELECT ?", "write `:name`"),
        ("", "SQL is empty"),
    ] {
        let error = parsed(sql).map(drop).unwrap_err();
        assert!(error.contains(why), "{sql}: {error}");
        // And where nobody has looked before.
        let unchecked = runtime().block_on(store.with(move |c| prepared(c, sql, |s| columns_of(&s).map(drop))));
        assert!(unchecked.is_err() || sql.contains(['{', '?']), "{sql}");
    }
    assert_eq!(all(&store, "things").len(), 1);
    let rows = ask(
        &store,
        "SELECT name, :x + 1 AS more FROM things WHERE id = :id;",
        &[("id".to_owned(), Value::Int(1)), ("x".to_owned(), Value::Float(0.5))],
    );
    assert_eq!(
        Value::Object(rows.unwrap()[0].clone()).to_json().unwrap(),
        serde_json::json!({"name": "a", "more": 1.5})
    );
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS i FROM n";
    assert_eq!(ask(&store, endless, &[]).unwrap_err().code, "store.timeout");
    assert_eq!(all(&store, "things").len(), 1, "the store can still be used");
}

#[test]
fn a_file_of_another_kind_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    let path = folder.path().join("below/shop.sqlite");
    std::fs::write(&path, "not a database, but long enough to be looked at as one: ".repeat(20)).unwrap();
    let schema = schema();
    let things = schema.collection("things").unwrap();
    let list = |store: &Sqlite| runtime().block_on(store.list(things, &Filter::default(), None));
    let error = list(&store(&folder, false)).unwrap_err();
    assert_eq!(error.code, "store.open");
    assert!(error.message.starts_with("shop.sqlite cannot be used: "), "{error}");
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE things (id TEXT)").unwrap();
    let error = list(&store(&folder, false)).unwrap_err();
    assert_eq!((error.code, error.message.contains("no column `name`")), ("store.schema", true), "{error}");
}

#[test]
fn what_another_hand_put_there_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    drop(all(&store(&folder, false), "things"));
    let other = Connection::open(folder.path().join("below/shop.sqlite")).unwrap();
    other.execute_batch("INSERT INTO things (id, good, tags, more) VALUES (1, 7, '[]', '1')").unwrap();
    let schema = schema();
    let things = schema.collection("things").unwrap();
    let error = runtime().block_on(store(&folder, false).list(things, &Filter::default(), None)).unwrap_err();
    assert_eq!(error.code, "store.value");
    assert!(error.message.contains("`good`"), "{error}");
}

#[test]
fn a_preview_sees_what_it_does_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let preview = store(&folder, true);
    put(&preview, "things", serde_json::json!({"id": 1, "more": null}));
    assert_eq!(all(&preview, "things").len(), 1);
    assert!(!folder.path().join("below").exists());
    put(&store(&folder, false), "things", serde_json::json!({"id": 2, "more": null}));
    let preview = store(&folder, true);
    put(&preview, "things", serde_json::json!({"id": 3, "more": null}));
    assert_eq!((all(&preview, "things").len(), all(&store(&folder, false), "things").len()), (2, 1));
}

fn values() -> impl Strategy<Value = Object> {
    let name = prop_oneof![Just(Value::Null), "[a-b']{0,2}".prop_map(Value::from)];
    let share = prop_oneof![Just(Value::Null), (-2_i64..2).prop_map(Value::Int), Just(Value::Float(-0.0))];
    let good = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool)];
    let price = prop_oneof![Just(Value::Null), "[0-1]\\.[05]{0,2}".prop_map(|t| Value::from(format!("{t}0")))];
    let day = prop_oneof![Just(Value::Null), (1..3).prop_map(|d| Value::from(format!("2026-01-0{d}")))];
    (0_i64..3, name, share, good, price, day).prop_map(|(id, name, share, good, price, day)| {
        let values = [("name", name), ("share", share), ("good", good), ("price", price), ("day", day)];
        let all = values.into_iter().chain([("id", Value::Int(id)), ("more", Value::Null)]);
        all.map(|(name, value)| (Arc::from(name), value)).collect()
    })
}

/// Some columns of a row, to look for.
fn some(of: &Object, which: u8) -> Vec<(&str, Value)> {
    let columns = ["id", "name", "share", "good", "price", "day"].into_iter().enumerate();
    columns.filter(|(n, _)| which & (1 << n) != 0).map(|(_, c)| (c, of.get(c).unwrap().clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The memory store and the sqlite store agree about every filter, update and removal.
    #[test]
    fn stores_agree(
        rows in prop::collection::vec(values(), 0..8),
        steps in prop::collection::vec((values(), 0_u8..64, values(), 1_u8..64, any::<bool>(), prop::option::of(0_u32..4)), 1..5),
    ) {
        let (folder, schema) = (tempfile::tempdir().unwrap(), schema());
        let (sqlite, mut memory) = (store(&folder, false), Memory::new(Arc::clone(&schema)));
        let things = schema.collection("things").unwrap();
        for row in &rows {
            let row = things.row(row).unwrap();
            runtime().block_on(sqlite.create(things, &row)).unwrap();
            memory.apply(&Memory::adding(things, &row)).unwrap();
        }
        for (like, which, new, changed, removes, limit) in &steps {
            let filter = things.filter(some(like, *which)).unwrap();
            let found = memory.list(things, &filter, *limit).unwrap();
            prop_assert_eq!(&runtime().block_on(sqlite.list(things, &filter, *limit)).unwrap(), &found);
            let found = memory.list(things, &filter, None).unwrap();
            if *removes {
                let gone = runtime().block_on(sqlite.delete(things, &filter)).unwrap();
                prop_assert_eq!(gone, found.len() as u64);
                memory.apply(&Memory::deleting(things, &filter)).unwrap();
            } else {
                let new: Object = some(new, *changed).into_iter().map(|(k, v)| (Arc::from(k), v)).collect();
                let update = things.update(&new).unwrap();
                let after: Vec<Row> = found.iter().map(|row| update.of(row)).collect();
                prop_assert_eq!(runtime().block_on(sqlite.update(things, &filter, &update)).unwrap(), after);
                // As a record of a map's item carries it.
                let change: Value = serde_json::from_str(&serde_json::to_string(&Memory::updating(things, &filter, &update)).unwrap()).unwrap();
                memory.apply(&change).unwrap();
            }
            let left = memory.list(things, &Filter::default(), None).unwrap();
            prop_assert_eq!(all(&sqlite, "things"), left);
        }
    }
}

#[test]
fn marks_of_other_runs_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (store, schema) = (store(&folder, false), schema());
    let things = schema.collection("things").unwrap();
    let change = Change::Create(things.row(&object(serde_json::json!({"id": 1}))).unwrap());
    for run in ["a", "b", "a", "ab"] {
        runtime().block_on(store.change(things, &change, Some(&Once::new(run, "put#1")))).unwrap();
    }
    assert_eq!(all(&store, "things").len(), 3, "once for each run");
    let marks = || {
        let held = store.0.connection.lock().unwrap();
        let sql = "SELECT group_concat(key ORDER BY key) FROM flowrun_effects";
        held.as_ref().unwrap().query_row(sql, [], |row| row.get::<_, String>(0))
    };
    runtime().block_on(store.forget("a")).unwrap();
    assert_eq!(marks().unwrap(), "ab/put#1,b/put#1");
    for run in ["b", "ab"] {
        runtime().block_on(store.forget(run)).unwrap();
    }
    assert!(marks().is_err(), "the table goes with the last mark");
}
