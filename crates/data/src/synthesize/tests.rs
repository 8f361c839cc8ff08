use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use flowrun_core::table::MemoryTable;
use flowrun_core::value::Value;
use proptest::prelude::*;
use serde_json::json;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::*;
use crate::compare::compare;

/// The seed of the data-synthesis guide.
fn seed() -> Table {
    let rows = [
        ("organization", "EMEA", "Germany", 75_200_000, 4.9),
        ("individual", "NA", "United States", 1_580_000, 3.5),
        ("organization", "JAPAC", "Singapore", 18_500_000, 5.7),
        ("individual", "JAPAC", "India", 280_000, 4.2),
        ("organization", "LAD", "Brazil", 6_270_000, 5.2),
        ("individual", "LAD", "Argentina", 98_000, 6.0),
        ("organization", "EMEA", "Switzerland", 26_000_000, 3.3),
        ("individual", "EMEA", "United Arab Emirates", 1_200_000, 3.9),
        ("organization", "JAPAC", "Australia", 51_200_000, 4.5),
        ("individual", "NA", "Canada", 405_000, 2.7),
    ];
    let columns = [
        ("customer_type", Type::string()),
        ("region", Type::string()),
        ("country", Type::string()),
        ("customer_net_worth", Type::integer()),
        ("loan_proposed_interest", Type::number()),
    ];
    let columns: Vec<_> = columns.into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
    let rows = rows.map(|(a, b, c, d, e)| vec![a.into(), b.into(), c.into(), Value::Int(d), Value::Float(e)]);
    Table::new(MemoryTable::from_rows(&columns, rows).unwrap())
}

fn synthesis(columns: serde_json::Value) -> Synthesis {
    serde_json::from_value(columns).unwrap()
}

fn guide() -> Synthesis {
    synthesis(json!({
        "customer_name": {
            "sample": "when", "column": "customer_type",
            "is": { "individual": { "sample": "fake", "kind": "name" } },
            "else": { "sample": "fake", "kind": "company" },
        },
        "customer_type": { "sample": "categorical" },
        "country": { "sample": "mapped", "by": ["region"] },
        "region": { "sample": "categorical" },
        "customer_net_worth": { "sample": "joint", "by": ["region"] },
        "loan_proposed_interest": { "sample": "joint", "by": ["region"] },
    }))
}

fn all_kinds() -> Synthesis {
    let mut columns = guide().columns().clone();
    let more = synthesis(json!({
        "weighted": { "sample": "categorical", "values": { "a": 3, "b": 1 } },
        "listed": { "sample": "categorical", "values": [1, 2.5, null], "weights": [1, 0, 1] },
        "given": { "sample": "mapped", "by": ["weighted"], "values": { "a": ["x", "y"], "b": ["z"] } },
        "choice": { "sample": "choice", "values": [true, false] },
        "uniform": { "sample": "uniform", "low": -1, "high": 1 },
        "dice": { "sample": "uniform", "low": 1, "high": 6, "integer": true },
        "normal": { "sample": "normal", "mean": 10, "std": 2, "min": 5, "max": 15, "round": 1 },
        "id": { "sample": "sequence", "prefix": "L-", "width": 6 },
        "n": { "sample": "sequence", "start": 10, "step": -3 },
        "uuid": { "sample": "uuid" },
        "ratio": { "sample": "expression", "value": "n / dice", "type": "number" },
        "mixed": { "sample": "when", "column": "choice", "is": { "true": { "sample": "constant", "value": 1 } } },
        "user": { "sample": "fake", "kind": "username", "unique": true },
        "fixed": { "sample": "constant", "value": { "a": [1] } },
        "lat": { "sample": "fake", "kind": "latitude", "locale": "de_de" },
    }));
    columns.extend(more.columns().clone());
    Synthesis::new(columns)
}

fn key() -> Key {
    Key::new(7, "structured", "")
}

fn rows(table: &Table, range: Range<u64>) -> Vec<Vec<Value>> {
    table.objects(range).unwrap().map(|o| o.unwrap().values().to_vec()).collect()
}

fn column(table: &Table, name: &str) -> Vec<Value> {
    table.objects(0..table.len().unwrap()).unwrap().map(|o| o.unwrap().get(name).cloned().unwrap()).collect()
}

fn counts(values: &[Value]) -> BTreeMap<String, usize> {
    values.iter().fold(BTreeMap::new(), |mut counts, v| {
        *counts.entry(v.to_string()).or_default() += 1;
        counts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_row_depends_neither_on_the_count_nor_on_the_scan(start in 0_u64..9_000, length in 0_u64..60, seed_of in 0_u64..5) {
        let key = Key::new(seed_of, "s", "");
        let plan = all_kinds().plan(Some(&seed()), &key).unwrap();
        let apart = rows(&plan.table(3).unwrap(), start..start + length);
        let whole = all_kinds().table(Some(&seed()), 10_000, &key).unwrap();
        let range = crate::batch::index(start)..crate::batch::index(start + length);
        prop_assert_eq!(&apart, &rows(&whole, 0..start + length)[range]);
    }
}

#[test]
fn a_column_keeps_its_values_when_others_come_and_go() {
    let alone =
        synthesis(json!({ "region": { "sample": "categorical" } })).table(Some(&seed()), 500, &key()).unwrap();
    let among = all_kinds().table(Some(&seed()), 500, &key()).unwrap();
    assert_eq!(column(&alone, "region"), column(&among, "region"));
}

#[test]
fn the_guides_columns_resemble_their_seed() {
    let synthesis = guide();
    let plan = synthesis.plan(Some(&seed()), &key()).unwrap();
    let table = plan.table(20_000).unwrap();
    let names: Vec<_> = table.columns().into_iter().map(|(n, t)| format!("{n}: {t}")).collect();
    assert_eq!(
        names,
        [
            "customer_name: string",
            "customer_type: string",
            "country: string",
            "region: string",
            "customer_net_worth: integer",
            "loan_proposed_interest: number"
        ]
    );
    let found = compare(&seed(), &table, &synthesis.compare_plan()).unwrap();
    assert_eq!(found.coherent.unwrap().rows, 20_000, "{found}");
    for scored in &found.columns {
        assert!(scored.score.is_none_or(|s| s > 0.97), "{scored}");
    }
    assert!(plan.fallbacks(20_000).unwrap().is_empty());
}

/// Whether counts fit expected shares: the chi-square test at 0.1 %, over fixed seeds.
fn fits(counts: &[usize], shares: &[f64]) -> bool {
    let n = f64::from(u32::try_from(counts.iter().sum::<usize>()).unwrap());
    let statistic: f64 = counts
        .iter()
        .zip(shares)
        .map(|(c, s)| (f64::from(u32::try_from(*c).unwrap()) - n * s).powi(2) / (n * s))
        .sum();
    let freedom = f64::from(u32::try_from(counts.len() - 1).unwrap());
    ChiSquared::new(freedom).unwrap().cdf(statistic) < 0.999
}

#[test]
fn frequencies_are_those_asked_for() {
    let table = all_kinds().table(Some(&seed()), 20_000, &key()).unwrap();
    let of = |name: &str| counts(&column(&table, name)).into_values().collect::<Vec<_>>();
    assert!(fits(&of("region"), &[0.3, 0.3, 0.2, 0.2]), "{:?}", of("region"));
    assert!(fits(&of("weighted"), &[0.75, 0.25]), "{:?}", of("weighted"));
    assert!(fits(&of("given"), &[0.375, 0.375, 0.25]), "{:?}", of("given"));
    assert!(fits(&of("dice"), &[1.0 / 6.0; 6]), "{:?}", of("dice"));
    assert!(fits(&of("listed"), &[0.5, 0.5]), "{:?}", of("listed"));
    let normal: Vec<f64> = column(&table, "normal").iter().filter_map(Value::as_f64).collect();
    assert!(normal.iter().all(|x| (5.0..=15.0).contains(x) && ((x * 10.0).round() - x * 10.0).abs() < 1e-9));
    let near = normal.iter().filter(|x| (8.0..=12.0).contains(*x)).count();
    assert!((13_400..14_200).contains(&near), "{near}");
}

#[test]
fn types_and_forms_are_as_said() {
    let synthesis = all_kinds();
    let table = synthesis.table(Some(&seed()), 50, &key()).unwrap();
    let known: BTreeMap<_, _> = table.columns().into_iter().collect();
    for (name, column) in synthesis.static_columns() {
        assert!(column == Type::any() || known[&name] == column, "{name}: {column} and {}", known[&name]);
    }
    let word = |name: &str| known[name].to_string();
    assert_eq!(
        (word("listed"), word("mixed"), word("n")),
        ("number?".into(), "integer?".into(), "integer".into())
    );
    assert_eq!(column(&table, "id")[41], Value::from("L-000042"));
    assert_eq!(column(&table, "n")[2], Value::Int(4));
    assert_eq!(column(&table, "fixed")[0].to_string(), "{\"a\":[1]}");
    let users = column(&table, "user");
    assert_eq!(counts(&users).len(), 50);
    for uuid in column(&table, "uuid") {
        let text = uuid.as_str().unwrap().to_owned();
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        assert!("89ab".contains(&text[19..20]), "{text}");
    }
    for (choice, mixed) in column(&table, "choice").iter().zip(column(&table, "mixed")) {
        assert_eq!(mixed, if *choice == Value::Bool(true) { Value::Int(1) } else { Value::Null });
    }
}

#[test]
fn several_parents_and_other_names_are_followed() {
    let columns = json!({
        "area": { "sample": "categorical", "column": "region" },
        "kind": { "sample": "categorical", "column": "customer_type" },
        "land": {
            "sample": "mapped", "by": ["area", "kind"], "from": ["region", "customer_type"], "column": "country",
            "by_frequency": true,
        },
    });
    // No organization of the seed is in region NA. Few rows are made at once, many when they are read.
    let made = |rows| synthesis(columns.clone()).table(Some(&seed()), rows, &key());
    let at_once = made(2_000).unwrap_err();
    let when_read = made(20_000).unwrap().scan_all().unwrap().find_map(Result::err).unwrap();
    for error in [at_once, when_read] {
        assert_eq!(error.code, "synthesize.no_group");
        assert!(error.message.ends_with("goes with area `NA`, kind `organization`"), "{}", error.message);
    }
    let mut columns = columns;
    columns["land"]["sample"] = "joint".into();
    columns["land"].as_object_mut().unwrap().remove("by_frequency");
    let plan = synthesis(columns).plan(Some(&seed()), &key()).unwrap();
    let table = plan.table(2_000).unwrap();
    let strays = table
        .objects(0..2_000)
        .unwrap()
        .map(Result::unwrap)
        .filter(|o| o.get("area") == Some(&"NA".into()) && o.get("kind") == Some(&"organization".into()));
    let strays = strays.count() as u64;
    assert!(strays > 100);
    assert_eq!(plan.fallbacks(2_000).unwrap(), [("land".to_owned(), strays)].into());
}

#[test]
fn a_given_map_may_nest() {
    let table = synthesis(json!({
        "a": { "sample": "choice", "values": ["x", "y"] },
        "b": { "sample": "choice", "values": [1, 2] },
        "c": { "sample": "mapped", "by": ["a", "b"], "values": {
            "x": { "1": ["x1"], "2": ["x2", "x2b"] }, "y": { "1": ["y1"], "2": ["y2"] },
        } },
    }));
    let table = table.table(None, 300, &key()).unwrap();
    for row in table.objects(0..300).unwrap().map(Result::unwrap) {
        let expected = format!("{}{}", row.get("a").unwrap().as_str().unwrap(), row.get("b").unwrap());
        assert!(row.get("c").unwrap().as_str().unwrap().starts_with(&expected), "{row:?}");
    }
}

#[test]
fn nulls_of_the_seed_are_kept_dropped_and_left_out() {
    let columns = [("g".to_owned(), Type::string().nullable()), ("v".to_owned(), Type::integer().nullable())];
    let rows = [("a", Some(1)), ("a", None), ("b", None)];
    let rows = rows.map(|(g, v)| vec![g.into(), v.map_or(Value::Null, Value::Int)]);
    let seed = Table::new(MemoryTable::from_rows(&columns, rows).unwrap());
    let table = synthesis(json!({
        "g": { "sample": "categorical", "nulls": "drop" },
        "kept": { "sample": "categorical", "column": "v" },
        "dropped": { "sample": "categorical", "column": "v", "nulls": "drop" },
        "joint": { "sample": "joint", "by": ["g"], "column": "v" },
        "mapped": { "sample": "mapped", "by": ["g"], "column": "v" },
    }));
    let table = table.table(Some(&seed), 200, &key()).unwrap();
    let distinct = |name: &str| column(&table, name).iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(distinct("kept"), BTreeSet::from(["1".to_owned(), "null".to_owned()]));
    assert_eq!(distinct("dropped"), BTreeSet::from(["1".to_owned()]));
    assert_eq!(distinct("joint"), BTreeSet::from(["1".to_owned()]));
    for row in table.objects(0..200).unwrap().map(Result::unwrap) {
        assert_eq!(row.get("mapped").unwrap().is_null(), row.get("g") == Some(&"b".into()));
    }
}

#[test]
fn unique_values_run_out_by_name() {
    let table = synthesis(json!({ "c": { "sample": "fake", "kind": "country", "unique": true } }));
    let table = table.table(None, 100_000, &key()).unwrap();
    let error = table.scan_all().unwrap().find_map(Result::err).unwrap();
    assert_eq!(error.code, "synthesize.unique");
    assert!(error.message.contains("distinct values were found"), "{}", error.message);
    // What was found before is there all the same, in any order of scanning.
    let again = synthesis(json!({ "c": { "sample": "fake", "kind": "country", "unique": true } }));
    let again = again.table(None, 100, &key()).unwrap();
    assert_eq!(rows(&again, 50..60), rows(&table, 50..60));
}

#[test]
fn problems_come_all_at_once_with_their_place() {
    let problems = synthesis(json!({
        "source_rows": { "sample": "constant", "value": 1 },
        "a": { "sample": "mapped", "by": ["regoin"] },
        "region": { "sample": "mapped", "by": [] },
        "b": { "sample": "joint", "by": ["b"], "from": ["x", "y"] },
        "c": { "sample": "fake", "kind": "compnay" },
        "d": { "sample": "when", "column": "region", "is": { "x": { "sample": "uniform", "low": 2, "high": 1 } } },
        "e": { "sample": "normal", "mean": 0, "std": -1 },
        "f": { "sample": "categorical", "values": ["x"], "weights": [1, 2] },
        "g": { "sample": "categorical", "values": { "x": 0 } },
        "h": { "sample": "expression", "value": "1 +", "type": "nubmer" },
        "i": { "sample": "mapped", "by": ["a", "region"], "values": { "x": ["y"] } },
        "j": { "sample": "uniform", "low": 0, "high": 0.5, "integer": true },
    }))
    .problems();
    let found: Vec<_> = problems.iter().map(|p| format!("{p} ({})", p.help.as_deref().unwrap_or("-"))).collect();
    let expected = [
        "columns.source_rows: the name `source_rows` is taken by a hidden column (take another name)",
        "columns.a.by: there is no column `regoin` in this table (did you mean `region`?)",
        "columns.region.by: `by` names no column (name at least one column of this table)",
        "columns.b.by: column `b` cannot be made from itself (-)",
        "columns.b.from: `from` names 2 columns and `by` 1 (name one column of the seed for each in `by`)",
        "columns.c.kind: nothing is known about how to make up `compnay` (did you mean `company`?)",
        "columns.d.is.x.low: `low` (2) is above `high` (1) (-)",
        "columns.e.std: the standard deviation -1 is not 0 or above (-)",
        "columns.f.weights: there are 1 values and 2 weights (-)",
        "columns.g.values: no value has a weight above 0 (-)",
        "columns.h.value: unexpected end of input, expected expression (-)",
        "columns.h.type: there is no type `nubmer` (did you mean `number`?)",
        "columns.i.values.x: a map is missing here: `by` names 1 more columns (-)",
        "columns.j.high: 0.5 is no whole number within 2^53 (-)",
    ];
    assert_eq!(found, expected);
    let circle = synthesis(json!({
        "x": { "sample": "constant", "value": 1 },
        "a": { "sample": "expression", "value": "b + x" },
        "b": { "sample": "expression", "value": "c" },
        "c": { "sample": "expression", "value": "a" },
    }));
    assert_eq!(circle.problems()[0].message, "columns wait for each other: `a` needs `b` needs `c` needs `a`");
    assert_eq!(circle.plan(None, &key()).unwrap_err().code, "synthesize.config");
    assert!(guide().problems().is_empty() && all_kinds().problems().is_empty());
}

#[test]
fn a_seed_that_does_not_fit_is_refused() {
    let refused = |s: serde_json::Value, seed: Option<&Table>| synthesis(s).plan(seed, &key()).unwrap_err();
    let one = json!({ "regoin": { "sample": "categorical" } });
    assert_eq!(refused(one.clone(), None).code, "synthesize.no_seed");
    let error = refused(one.clone(), Some(&seed()));
    assert_eq!((error.code, error.help.as_deref()), ("synthesize.no_column", Some("did you mean `region`?")));
    let empty = crate::sources::filter(&seed(), |_| Ok(false));
    assert_eq!(refused(one, Some(&empty)).code, "synthesize.empty_seed");
}

#[test]
fn the_schema_tells_the_kinds_apart_and_closes_them() {
    let schema = serde_json::to_value(schemars::schema_for!(ColumnSpec)).unwrap();
    let kinds = schema["oneOf"].as_array().unwrap();
    assert_eq!(kinds.len(), 12);
    for kind in kinds {
        assert!(kind["properties"]["sample"]["const"].is_string(), "{kind}");
        assert_eq!(kind["additionalProperties"], json!(false), "{kind}");
        assert!(kind["required"].as_array().unwrap().contains(&json!("sample")));
        assert!(kind["description"].is_string());
    }
    let unknown = json!({ "a": { "sample": "constant", "value": 1, "vlaue": 2 } });
    assert!(serde_json::from_value::<Synthesis>(unknown).is_err());
}
