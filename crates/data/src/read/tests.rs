use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, Float32Array, Int32Array, LargeStringArray, ListArray, RecordBatch, StructArray,
    TimestampMillisecondArray, UInt64Array,
};
use flowrun_core::table::MemoryTable;
use flowrun_core::types::Kind;
use flowrun_core::value::Value;
use proptest::prelude::*;

use super::*;
use crate::write::{Target, write_table};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Table, TableError> {
    let folder = Folder::new();
    let path = folder.file(name, content);
    let opened = open(&path, &ReadOptions::default())?;
    // Into memory, as the folder goes.
    let batches = opened.table.scan_all()?.collect::<Result<Vec<_>, _>>()?;
    Ok(Table::new(MemoryTable::new(opened.table.schema(), batches)))
}

fn refused(name: &str, content: impl AsRef<[u8]>) -> (&'static str, String) {
    let error = read(name, content).unwrap_err();
    let message = error.message;
    let start = message.find('`').unwrap_or(0);
    let shown =
        message.rfind('/').map_or(message.clone(), |end| format!("{}`{}", &message[..start], &message[end + 1..]));
    (error.code, shown)
}

fn types(table: &Table) -> Vec<String> {
    table.columns().iter().map(|(name, t)| format!("{name}: {t}")).collect()
}

fn rows(table: &Table) -> Vec<Vec<Value>> {
    table.objects(0..u64::MAX).unwrap().map(|o| o.unwrap().values().to_vec()).collect()
}

#[test]
fn a_csv_file_keeps_its_types() {
    let text = "\u{feff}id,zip,worth,ok,day,note\n1,007,6.0,true,2026-01-31,\n2,1,2,false,x,\"a \"\"b\"\",\nc\"\n";
    let table = read("a.csv", text).unwrap();
    assert_eq!(
        types(&table),
        ["id: integer", "zip: string", "worth: number", "ok: boolean", "day: string", "note: string?"]
    );
    assert_eq!(rows(&table)[1][5], Value::from("a \"b\",\nc"));
    assert_eq!(rows(&table)[0][2..4], [Value::Float(6.0), Value::Bool(true)]);
    assert!(rows(&table)[0][5].is_null());
    assert_eq!(read("a.csv", "a,b\r\n1,2\r\n").unwrap().len(), Some(1));
    assert_eq!(types(&read("a.csv", "a\n").unwrap()), ["a: string"]);
}

#[test]
fn json_records_keep_their_types() {
    let lines = concat!(
        "\u{feff}{\"a\": 6.0, \"b\": 6, \"c\": null, \"d\": [1, 2.0]}\n\n",
        "{\"b\": 7, \"a\": 1, \"e\": \"x\", \"d\": 3, \"c\": null}\r\n"
    );
    let array =
        "[{\"a\": 6.0, \"b\": 6, \"c\": null, \"d\": [1, 2.0]},\n{\"b\": 7, \"a\": 1, \"e\": \"x\", \"d\": 3}]";
    for (name, text) in [("a.jsonl", lines), ("a.json", array)] {
        let table = read(name, text).unwrap();
        assert_eq!(types(&table), ["a: number", "b: integer", "c: any", "d: any", "e: string?"], "{name}");
        assert_eq!(rows(&table)[0][3].to_string(), "[1,2.0]");
        assert_eq!(rows(&table)[1][..2], [Value::Float(1.0), Value::Int(7)]);
        assert!(rows(&table)[0][4].is_null());
    }
    assert_eq!(read("a.json", "[]").unwrap().len(), Some(0));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases: [(&str, &[u8], &str, &str); 18] = [
        ("a.csv", b"", "table.empty_file", "`a.csv` is empty"),
        ("a.csv", b"a,b\n1,2\n3\n", "table.ragged", "`a.csv`, line 3: 1 fields, and the header has 2"),
        ("a.csv", b"a,b\n\"x\ny\",2\n1,2,3\n", "table.ragged", "line 4: 3 fields"),
        ("a.csv", b"a,a\n", "table.duplicate_column", "line 1: the column `a` stands twice"),
        ("a.csv", b"a\nx\n\xff\n", "table.not_utf8", "line 3: the text of `a` is not UTF-8"),
        ("a.csv", b"source_rows\n1\n", "table.reserved_column", "a column `source_rows`"),
        (
            "a.csv",
            b"a\n99999999999999999999\n",
            "table.integer_overflow",
            "line 2: the integer 99999999999999999999",
        ),
        ("a.jsonl", b"", "table.empty_file", "is empty"),
        ("a.jsonl", b"{\"a\":1}\n{\"a\":}\n", "table.bad_json", "line 2, column 6: expected value"),
        (
            "a.jsonl",
            b"{\"a\":1}\n[1]\n",
            "table.not_a_record",
            "line 2, column 1: invalid type: sequence, expected a record",
        ),
        ("a.jsonl", b"{\"a\":1,\"a\":2}\n", "table.duplicate_column", "the name `a` stands twice in one record"),
        ("a.jsonl", b"{\"a\":9223372036854775808}\n", "table.integer_overflow", "line 1, column"),
        ("a.jsonl", b"{\"a\":[99999999999999999999]}\n", "table.integer_overflow", "line 1, column 7"),
        ("a.jsonl", b"{\"a\":\"\xff\"}\n", "table.not_utf8", "line 1"),
        ("a.json", b"{\"a\":1}", "table.not_a_record", "expected an array of records"),
        ("a.json", b"[{\"a\":1},\n {\"a\":2}", "table.bad_json", "line 2, column 8"),
        (
            "a.json",
            b"[{\"a\":1},\n 5]",
            "table.not_a_record",
            "line 2, column 2: invalid type: integer `5`, expected a record",
        ),
        ("a.parquet", b"PAR1 but not really", "table.bad_parquet", "is no Parquet file"),
    ];
    for (name, content, code, text) in cases {
        let (found, message) = refused(name, content);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(text), "{message}\nlacks {text}");
    }
    let error = open("nowhere/a.csv".as_ref(), &ReadOptions::default()).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), ("table.missing_file", "there is no file `nowhere/a.csv`"));
    let folder = Folder::new();
    let named = ReadOptions { format: Some(Format::Csv), ..ReadOptions::default() };
    assert_eq!(open(folder.0.path(), &named).unwrap_err().code, "table.not_a_file");
}

#[test]
fn declared_types_are_read_and_tried_at_once() {
    let folder = Folder::new();
    let word = |word: &str| Type::from_word(word).unwrap();
    let declare = |columns: &[(&str, &str)]| ReadOptions {
        columns: columns.iter().map(|(name, w)| ((*name).to_owned(), word(w))).collect(),
        ..ReadOptions::default()
    };
    let options = declare(&[("day", "date?"), ("at", "timestamp"), ("sum", "decimal"), ("id", "string")]);
    let csv =
        folder.file("a.csv", "id,day,at,sum\n1,2026-01-31,2026-01-31T12:00:00Z,12.50\n2,,2026-01-31 12:00:00,1\n");
    let jsonl = folder.file(
        "a.jsonl",
        "{\"id\":1,\"day\":\"2026-01-31\",\"at\":\"2026-01-31T12:00:00Z\",\"sum\":\"12.50\"}\n\
         {\"id\":\"2\",\"day\":null,\"at\":\"2026-01-31 12:00:00\",\"sum\":1}\n",
    );
    let of_csv = open(&csv, &options).unwrap().table;
    assert_eq!(types(&of_csv), ["id: string", "day: date?", "at: timestamp", "sum: decimal"]);
    assert_eq!(rows(&of_csv), rows(&open(&jsonl, &options).unwrap().table));
    let error = open(&csv, &declare(&[("at", "date")])).unwrap_err();
    assert_eq!(error.code, "table.type");
    assert!(
        error.message.ends_with("line 2: `2026-01-31T12:00:00Z` in column `at` is no date"),
        "{}",
        error.message
    );
    let error = open(&csv, &declare(&[("day", "date")])).unwrap_err();
    assert!(error.message.ends_with("line 3: an empty field in column `day` is no date"), "{}", error.message);
    let error = open(&csv, &declare(&[("dya", "date")])).unwrap_err();
    assert_eq!((error.code, error.help.as_deref()), ("table.no_column", Some("did you mean `day`?")));
}

#[test]
fn a_file_that_changes_ends_the_next_scan() {
    let folder = Folder::new();
    for (name, before, after) in [
        ("a.csv", "a\n1\n", "a\n2\n"),
        ("a.jsonl", "{\"a\":1}\n", "{\"a\":2}\n"),
        ("a.json", "[{\"a\":1}]\n", "[{\"a\":2}]\n"),
    ] {
        let path = folder.file(name, before);
        let opened = open(&path, &ReadOptions::default()).unwrap();
        assert_eq!(opened.facts.size, before.len() as u64);
        assert_eq!(opened.facts.digest, blake3::hash(before.as_bytes()).to_hex().to_string());
        assert_eq!(rows(&opened.table), rows(&opened.table));
        fs::write(&path, after).unwrap();
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(opened.table.scan_all().err().unwrap().code, "table.changed", "{name}");
        fs::remove_file(&path).unwrap();
        assert_eq!(opened.table.scan_all().err().unwrap().code, "table.missing_file");
    }
}

#[test]
fn foreign_parquet_types_become_ours() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let pair =
        StructArray::from(vec![(Arc::new(arrow_schema::Field::new("x", inner.data_type().clone(), true)), inner)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(Int32Array::from(vec![Some(1), None]))),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.0]))),
        ("s", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
        ("t", Arc::new(TimestampMillisecondArray::from(vec![0, 1]))),
        ("l", Arc::new(lists)),
        ("p", Arc::new(pair)),
        ("u", Arc::new(UInt64Array::from(vec![1, 2]))),
    ];
    let folder = Folder::new();
    let path = folder.0.path().join("a.parquet");
    let write = |columns: Vec<(&str, ArrayRef)>| {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    write(columns);
    let table = open(&path, &ReadOptions::default()).unwrap().table;
    assert_eq!(
        types(&table),
        ["i: integer?", "f: number", "s: string", "t: timestamp", "l: any", "p: any", "u: integer"]
    );
    let read = rows(&table);
    assert_eq!(read[0][4].to_string(), "[1,null]");
    assert_eq!(read[1][5].to_string(), "{\"x\":2}");
    write(vec![("u", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    let table = open(&path, &ReadOptions::default()).unwrap().table;
    let error = table.scan_all().unwrap().find_map(Result::err).unwrap();
    assert!(error.message.starts_with("column `u`: "), "{}", error.message);
    let declared = ReadOptions { columns: [("u".to_owned(), Type::string())].into(), ..ReadOptions::default() };
    assert_eq!(open(&path, &declared).unwrap_err().code, "table.declared");
}

#[test]
fn a_large_array_is_refused_and_lines_are_not() {
    let folder = Folder::new();
    let options = ReadOptions { limits: ReadLimits { json_bytes: 8 }, ..ReadOptions::default() };
    let error = open(&folder.file("a.json", "[{\"a\":1}]"), &options).unwrap_err();
    assert_eq!(error.code, "table.too_large");
    assert!(open(&folder.file("a.jsonl", "{\"a\":12345}\n"), &options).is_ok());
}

fn columns() -> [(String, Type); 8] {
    [
        ("text", Type::string().nullable()),
        ("n", Type::integer().nullable()),
        ("x", Type::number().nullable()),
        ("ok", Type::boolean()),
        ("any", Type::any()),
        ("day", Type::from(Kind::Date).nullable()),
        ("at", Kind::Timestamp.into()),
        ("sum", Type::from(Kind::Decimal).nullable()),
    ]
    .map(|(name, t)| (name.to_owned(), t))
}

/// A row; whole files stay small, but may have several batches.
fn row() -> impl Strategy<Value = Vec<Value>> {
    let text = prop_oneof![Just(String::new()), "[a-c\"',\\\\\n\r é\u{1F600}]{0,6}".prop_map(|s| s)];
    (
        prop::option::of(text),
        prop::option::of(any::<i64>()),
        prop::option::of(any::<f64>().prop_filter("finite", |f| f.is_finite())),
        any::<bool>(),
        prop_oneof![
            Just("null"),
            Just("1"),
            Just("6.0"),
            Just("\"x\""),
            Just("\"1\""),
            Just("[1,{\"a\":null}]"),
            Just("{\"b\":[]}")
        ],
        prop::option::of(-100_000_i32..100_000),
        -4_000_000_000_000_000_i64..4_000_000_000_000_000,
        prop::option::of((any::<i32>(), 0_u32..9)),
    )
        .prop_map(|(text, n, x, ok, json, day, at, sum)| {
            let epoch = chrono::NaiveDate::default();
            vec![
                text.into(),
                n.into(),
                x.into(),
                ok.into(),
                serde_json::from_str(json).unwrap(),
                day.map(|d| epoch + chrono::TimeDelta::days(d.into())).into(),
                chrono::DateTime::from_timestamp_micros(at).unwrap().into(),
                sum.map(|(units, scale)| rust_decimal::Decimal::new(units.into(), scale).normalize()).into(),
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn what_was_written_is_read_again(
        sample in prop::collection::vec(row(), 1..20), repeat in prop_oneof![Just(1), Just(900)], start in 0_usize..5_000,
    ) {
        let given: Vec<Vec<Value>> = sample.iter().cycle().take(sample.len() * repeat).cloned().collect();
        let columns = columns();
        let table = Table::new(MemoryTable::from_rows(&columns, given.clone()).unwrap());
        let folder = Folder::new();
        for (name, format) in
            [("a.json", Format::Json), ("a.jsonl", Format::Jsonl), ("a.csv", Format::Csv), ("a.parquet", Format::Parquet)]
        {
            let path = folder.0.path().join(name);
            let report = write_table(&table, Target::Path(path.clone()), format).unwrap();
            let options = match format {
                Format::Parquet => ReadOptions::default(),
                _ => ReadOptions { columns: columns.iter().cloned().collect(), ..ReadOptions::default() },
            };
            let opened = open(&path, &options).unwrap();
            prop_assert_eq!(&opened.facts.digest, &report.digest);
            prop_assert_eq!(opened.table.len(), Some(given.len() as u64));
            prop_assert_eq!(opened.table.columns(), columns.to_vec());
            // CSV has one word for no text and for nothing, and none for a text that looks like a number.
            let mut expected = given.clone();
            if format == Format::Csv {
                for row in &mut expected {
                    if row[0] == Value::from("") { row[0] = Value::Null; }
                    if row[4] == Value::from("1") { row[4] = Value::Int(1); }
                }
            }
            prop_assert_eq!(&rows(&opened.table), &expected, "{}", name);
            let from = start.min(expected.len());
            let to = (from + 10).min(expected.len());
            let part: Vec<_> = opened.table.objects(from as u64..to as u64).unwrap()
                .map(|o| o.unwrap().values().to_vec()).collect();
            prop_assert_eq!(&part[..], &expected[from..to]);
        }
    }
}
