use flowrun_core::table::MemoryTable;
use flowrun_core::types::Type;
use flowrun_core::value::Value;

use super::*;

fn table(columns: &[(&str, Type)], rows: &[&[Value]]) -> Table {
    let columns: Vec<_> = columns.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
    Table::new(MemoryTable::from_rows(&columns, rows.iter().map(|r| r.to_vec())).unwrap())
}

fn people(rows: &[(&str, &str, Option<f64>)]) -> Table {
    let columns = [("region", Type::string()), ("country", Type::string()), ("worth", Type::number().nullable())];
    let rows: Vec<Vec<Value>> = rows.iter().map(|(r, c, w)| vec![(*r).into(), (*c).into(), (*w).into()]).collect();
    table(&columns, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn plan(columns: &[(&str, How)]) -> ComparePlan {
    ComparePlan { columns: columns.iter().map(|(n, h)| ((*n).to_owned(), h.clone())).collect() }
}

fn by_region() -> Vec<String> {
    vec!["region".to_owned()]
}

#[test]
fn groups_that_the_seed_lacks_are_counted_apart() {
    let seed = people(&[("A", "x", Some(1.)), ("A", "x", Some(2.)), ("B", "y", Some(5.)), ("C", "z", None)]);
    let result = people(&[
        ("A", "x", Some(1.)),
        ("A", "x", Some(1.)),
        ("B", "y", Some(5.)),
        ("B", "x", None),
        ("C", "z", Some(3.)),
        ("D", "x", Some(3.)),
    ]);
    let plan = plan(&[("worth", How::Joint { by: by_region() }), ("country", How::Coherent { by: by_region() })]);
    let found = compare(&seed, &result, &plan).unwrap();
    let worth = &found.columns[2];
    let Details::Joint { groups, rows_without_seed, .. } = &worth.details else { panic!("{worth:?}") };
    assert_eq!(
        groups.iter().map(|g| (g.values[0].as_str(), g.rows.result, g.score)).collect::<Vec<_>>(),
        [("A", 2, 0.5), ("B", 1, 1.0)]
    );
    assert_eq!(*rows_without_seed, 2);
    assert_eq!(worth.score, Some(2.0 / 3.0));
    assert_eq!(found.coherent, Some(Coherent { rows: 4, of: 6 }));
    let Details::Coherent { examples, .. } = &found.columns[1].details else { panic!() };
    assert_eq!(examples, &["B, x", "D, x"]);
    assert_eq!(found.to_string(), "region 0.75  worth given region 0.66   coherent 4/6");
}

#[test]
fn by_default_the_type_says_how() {
    let seed = people(&[("A", "x", Some(1.)), ("B", "y", None)]);
    let found = compare(&seed, &seed, &ComparePlan::default()).unwrap();
    assert_eq!(found.to_string(), "region 1.00  country 1.00  worth 1.00");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["columns"][2]["details"]["nulls"]["seed"], 1);
    assert_eq!(json["columns"][0]["details"]["values"][0]["shares"]["result"], 0.5);
    assert!(json.get("coherent").is_none());
}

#[test]
fn a_score_that_cannot_be_is_absent_and_has_a_reason() {
    let seed = people(&[("A", "x", None)]);
    let found = compare(&seed, &seed, &plan(&[("region", How::Skip)])).unwrap();
    assert_eq!(found.columns[0].reason.as_deref(), Some("it is left out by the plan"));
    assert_eq!(found.columns[2].score, None);
    assert_eq!(found.columns[2].reason.as_deref(), Some("one side has nothing but nulls"));
    assert!(serde_json::to_string(&found).is_ok());
    assert_eq!(found.to_string(), "country 1.00  worth –");
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let seed = people(&[("A", "x", Some(1.))]);
    let refused = |p: ComparePlan| compare(&seed, &seed, &p).unwrap_err();
    let error = refused(plan(&[("regoin", How::Categorical)]));
    assert_eq!((error.code, error.help.as_deref()), ("compare.no_column", Some("did you mean `region`?")));
    let error = refused(plan(&[("region", How::Numeric)]));
    assert_eq!(error.code, "compare.not_numeric");
    let error = refused(plan(&[("worth", How::Joint { by: vec!["nation".into()] })]));
    assert_eq!(error.message, "the seed has no column `nation`");
}

#[test]
fn rare_values_are_summed_up() {
    let rows: Vec<Vec<Value>> = (0..30).map(|n| vec![Value::from(format!("v{n:02}"))]).collect();
    let rows: Vec<&[Value]> = rows.iter().map(Vec::as_slice).collect();
    let many = table(&[("a", Type::string())], &rows);
    let found = compare(&many, &many, &ComparePlan::default()).unwrap();
    let Details::Categorical { values, other, .. } = &found.columns[0].details else { panic!() };
    assert_eq!(values.len(), 20);
    assert_eq!(other.as_ref().map(|o| o.counts.seed), Some(10));
}
