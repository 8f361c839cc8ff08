//! A document as text: YAML that readers of 1.1 and of 1.2 read alike, or JSON.

use serde_json::Value as Json;

/// A document as YAML.
pub fn to_yaml(document: &Json) -> String {
    flowrun_yaml::to_yaml(document)
}

/// A document as JSON.
pub fn to_json(document: &Json) -> String {
    // A value of JSON is written without fail.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (-1e300_f64..1e300).prop_map(Json::from),
            "[ -~é\n\t#:'\"{}|>\u{85}\u{2028}]{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec(("[ -~]{1,6}", inner), 0..4)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            let document = json!({ "value": value });
            for text in [to_yaml(&document), to_json(&document)] {
                let (node, _) = crate::document::tree("x.yaml", text.as_bytes()).map_err(|wrong| {
                    TestCaseError::fail(format!("{wrong}\n{text}"))
                })?;
                prop_assert_eq!(node.to_value().to_json().unwrap(), document.clone(), "{}", text);
            }
        }
    }
}
