//! The step library of flowrun: one file a step, and the one table that lists them.

mod add_columns;
mod agent;
mod branch;
mod catch;
mod chat_history;
mod choice;
mod compare_tables;
mod complete;
mod condition;
mod constant;
mod datastore;
mod datastore_create;
mod datastore_delete;
mod datastore_list;
mod datastore_query;
mod datastore_update;
mod error_name;
mod exec;
mod extract;
mod extract_json;
pub mod files;
mod filled;
mod filter_rows;
mod flow;
mod http;
mod input_message;
mod jq;
mod json_text;
mod map;
pub mod models;
mod output_message;
mod parallel;
mod parse_verdict;
mod prompt;
mod read_table;
mod read_variable;
mod regex;
mod rephrase;
mod retry;
mod sample_rows;
mod search;
mod start;
pub mod stores;
mod synthesize;
mod template;
mod tool;
mod tool_client;
mod tool_flow;
mod variables;
mod write_table;
mod write_variable;

pub use files::Files;
pub use models::Models;
pub use stores::{RunMark, Stores};
pub use write_table::rejected_path;

use flowrun_core::registry::Registry;
use flowrun_llm::ModelConfig;
use flowrun_stores::StoreConfig;

/// All step types of flowrun.
pub fn registry() -> Registry {
    Registry::new()
        .with_models::<ModelConfig>()
        .with_datastores::<StoreConfig>()
        .with_tool_kind::<flowrun_tools::Exec>()
        .with_tool_kind::<flowrun_tools::Mcp>()
        .with_tool_kind::<flowrun_tools::HostFunction>()
        .with_tool_kind::<http::HttpTool>()
        .with_tool_kind::<tool_flow::FlowTool>()
        .with_tool_kind::<tool_client::ClientTool>()
        .with::<read_table::ReadTable>()
        .with::<write_table::WriteTable>()
        .with::<synthesize::Synthesize>()
        .with::<sample_rows::SampleRows>()
        .with::<add_columns::AddColumns>()
        .with::<filter_rows::FilterRows>()
        .with::<compare_tables::CompareTables>()
        .with::<map::Map>()
        .with::<retry::Retry>()
        .with::<flow::RunFlow>()
        .with::<catch::Catch>()
        .with::<parallel::RunParallel>()
        .with::<branch::Branch>()
        .with::<choice::Choice>()
        .with::<start::Start>()
        .with::<complete::Complete>()
        .with::<constant::Constant>()
        .with::<read_variable::ReadVariable>()
        .with::<write_variable::WriteVariable>()
        .with::<variables::VariablesStep>()
        .with::<template::TemplateStep>()
        .with::<prompt::Prompt>()
        .with::<input_message::InputMessage>()
        .with::<output_message::OutputMessage>()
        .with::<chat_history::ChatHistory>()
        .with::<extract::Extract>()
        .with::<extract_json::ExtractJson>()
        .with::<regex::RegexStep>()
        .with::<http::HttpStep>()
        .with::<tool::ToolStep>()
        .with::<exec::ExecStep>()
        .with::<agent::Agent>()
        .with::<parse_verdict::ParseVerdict>()
        .with::<datastore_create::DatastoreCreate>()
        .with::<datastore_list::DatastoreList>()
        .with::<datastore_update::DatastoreUpdate>()
        .with::<datastore_delete::DatastoreDelete>()
        .with::<datastore_query::DatastoreQuery>()
        .with::<search::Search>()
}
