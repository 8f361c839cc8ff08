//! What can be said without a server; the rest is in the tests of the whole program.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::StoreConfig;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new("shop", &[]))
}

fn made(url: &str) -> Result<Postgres, StoreError> {
    Postgres::new(&Url::new(url), schema(), false, Duration::from_secs(1), false)
}

#[test]
fn an_address_that_is_none_is_refused_and_not_shown() {
    for url in ["", "hunter2", "mysql://u:hunter2@h/d", "postgres:///d", "postgres://u:hunter2@h:port/d"] {
        let error = made(url).map(drop).unwrap_err();
        assert_eq!(error.code, "store.url", "{url}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert!(made("postgres://u:hunter2@h/d").is_ok());
}

#[test]
fn nobody_there_is_told_without_the_password() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = made("postgres://u:hunter2@127.0.0.1:1/d").unwrap();
    let query = StoreConfig::Postgres { url: Url::new(""), create_tables: false, timeout: 1 };
    let query = Query::parse("SELECT 1", &query, &schema()).unwrap();
    let error = runtime.block_on(store.query(&query, &[])).unwrap_err();
    assert_eq!(error.code, "store.open");
    assert!(error.message.contains("127.0.0.1") && !error.message.contains("hunter2"), "{error}");
}
