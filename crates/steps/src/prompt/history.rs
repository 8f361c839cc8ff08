//! The messages of a conversation that go before a prompt.

use flowrun_core::error::StepError;
use flowrun_core::value::Value;
use flowrun_llm::{Message, Role};

/// The input that holds them.
pub(crate) const CHAT_HISTORY: &str = "chat_history";

/// Puts the conversation behind the instructions and before all else.
pub(crate) fn insert(messages: &mut Vec<Message>, history: &Value) -> Result<(), StepError> {
    let wrong = |message: String| {
        StepError::new("prompt.history", format!("`{CHAT_HISTORY}` is no list of messages: {message}")).help(
            "each message is an object with a `role`, one of `system`, `user`, `assistant` and `agent`, and a `content`, a text",
        )
    };
    let Some(list) = history.as_list() else {
        return Err(wrong(format!("it is of the type {}", history.type_name())));
    };
    let read =
        list.items().iter().enumerate().map(|(n, message)| one(message).map_err(|m| wrong(format!("[{n}] {m}"))));
    let read: Vec<Message> = read.collect::<Result<_, _>>()?;
    let place = messages.iter().take_while(|m| m.role == Role::System).count();
    messages.splice(place..place, read);
    Ok(())
}

fn one(message: &Value) -> Result<Message, String> {
    let Some(object) = message.as_object() else { return Err(format!("is of the type {}", message.type_name())) };
    let text = |key: &str| match object.get(key) {
        Some(Value::String(text)) => Ok(&**text),
        Some(other) => Err(format!("has a `{key}` of the type {}", other.type_name())),
        None => Err(format!("has no `{key}`")),
    };
    let role = match text("role")? {
        "system" => Role::System,
        "user" => Role::User,
        // The word of a conversation for who answers.
        "assistant" | "agent" => Role::Assistant,
        other => return Err(format!("has the role `{other}`")),
    };
    Ok(Message::new(role, text("content")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inserted(history: &str) -> Result<Vec<(Role, String)>, StepError> {
        let mut messages = vec![Message::system("s"), Message::user("now")];
        insert(&mut messages, &serde_json::from_str(history).unwrap())?;
        Ok(messages.into_iter().map(|m| (m.role, m.content)).collect())
    }

    #[test]
    fn the_conversation_stands_between_the_instructions_and_the_prompt() {
        let said = r#"[{"role": "user", "content": "a", "at": 1}, {"role": "agent", "content": "b"}]"#;
        let [(_, s), (user, a), (agent, b), (_, now)] = inserted(said).unwrap().try_into().unwrap();
        assert_eq!([s, a, b, now], ["s", "a", "b", "now"]);
        assert_eq!((user, agent), (Role::User, Role::Assistant));
        assert_eq!(inserted("[]").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_message_is_told() {
        for (history, why) in [
            ("3", "of the type integer"),
            ("[3]", "[0] is of the type integer"),
            (r#"[{"content": "a"}]"#, "[0] has no `role`"),
            (r#"[{"role": "user", "content": null}]"#, "[0] has a `content` of the type null"),
            (r#"[{"role": "tool", "content": "a"}]"#, "[0] has the role `tool`"),
        ] {
            let error = inserted(history).unwrap_err();
            assert!(error.code == "prompt.history" && error.message.contains(why), "{error}");
        }
    }
}
