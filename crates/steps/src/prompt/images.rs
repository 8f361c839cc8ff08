//! Pictures that go with a prompt.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::journal::FILE_EFFECT;
use flowrun_core::value::Value;

use crate::files::{CHANGED_HELP, FileRead, Files};

/// Most bytes of a picture.
const LARGEST: u64 = 10 * 1024 * 1024;
/// Most pictures of a prompt.
const MOST: usize = 16;
/// Most bytes of an address that is no picture itself.
const LONGEST_ADDRESS: usize = 8 * 1024;

fn wrong(name: &str, message: &str) -> StepError {
    StepError::new("prompt.image", format!("`{name}` gives no picture: {message}")).help(
        "give an `https://` address, a `data:image/…;base64,…` address, the path of a PNG, JPEG, GIF or WebP file, or a list of such",
    )
}

/// The addresses that are sent for the value of an input: one picture, several, or none.
pub(super) async fn addresses(cx: &StepCx<'_>, name: &str, value: &Value) -> Result<Vec<String>, StepError> {
    let given: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(one) => vec![one],
        Value::List(items) => {
            let texts: Option<Vec<&str>> = items.items().iter().map(Value::as_str).collect();
            texts.ok_or_else(|| wrong(name, "the list holds something that is no text"))?
        }
        other => return Err(wrong(name, &format!("it is of the type {}", other.type_name()))),
    };
    if given.len() > MOST {
        return Err(wrong(name, &format!("{} are more than {MOST} pictures", given.len())));
    }
    let mut addresses = Vec::with_capacity(given.len());
    for one in given {
        addresses.push(match address(one).map_err(|message| wrong(name, &message))? {
            Some(address) => address,
            None => from_file(cx, name, one).await?,
        });
    }
    Ok(addresses)
}

/// The text itself where it is an address; none where it is a path.
fn address(text: &str) -> Result<Option<String>, String> {
    if let Some(rest) = text.strip_prefix("data:") {
        let Some((kind, data)) = rest.split_once(";base64,").filter(|(kind, _)| kind.starts_with("image/")) else {
            return Err("the `data:` address holds no picture in base64".to_owned());
        };
        // Four characters hold three bytes.
        if data.len() as u64 > LARGEST / 3 * 4 {
            return Err(format!("it is larger than {} MiB", LARGEST >> 20));
        }
        let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        if data.is_empty() || !data.bytes().all(is_base64) || !kind.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the `data:` address holds no picture in base64".to_owned());
        }
        return Ok(Some(text.to_owned()));
    }
    let Some((scheme, _)) = text.split_once("://") else { return Ok(None) };
    if !matches!(scheme, "http" | "https") {
        return Err(format!("an address of `{scheme}` is not sent"));
    }
    if text.len() > LONGEST_ADDRESS || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("the address is too long, or holds a space or a control character".to_owned());
    }
    Ok(Some(text.to_owned()))
}

async fn from_file(cx: &StepCx<'_>, name: &str, path: &str) -> Result<String, StepError> {
    let files: &Files = cx.resource()?;
    let place = files.to_read(path)?;
    let read = tokio::task::spawn_blocking(move || read(&place)).await;
    let read = read.unwrap_or_else(|_| Err("it could not be read".to_owned()));
    let bytes = read.map_err(|reason| wrong(name, &format!("`{path}`: {reason}")))?;
    let Some(kind) = kind(&bytes) else {
        return Err(wrong(name, &format!("`{path}` is no PNG, JPEG, GIF or WebP file")));
    };
    let digest = blake3::hash(&bytes).to_hex().to_string();
    let (step, size) = (cx.step_name().to_string(), bytes.len() as u64);
    let first = files.note_read(FileRead { step, path: path.to_owned(), bytes: size, digest: digest.clone() });
    if first {
        is_as_it_was(cx, path, &digest)?;
    }
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(&bytes)))
}

/// A run goes on only over the pictures that it began with; answers to others would stand beside theirs.
fn is_as_it_was(cx: &StepCx<'_>, path: &str, digest: &String) -> Result<(), StepError> {
    let key = format!("{FILE_EFFECT}/{path}");
    match cx.recall::<String>(&key)? {
        None => cx.remember(&key, digest),
        Some(was) if was == *digest => Ok(()),
        Some(_) => Err(StepError::new("table.changed", format!("`{path}` has changed since the run began"))
            .help(CHANGED_HELP)
            .fatal()),
    }
}

fn read(place: &Path) -> Result<Vec<u8>, String> {
    // Asked before it is opened: to open a pipe would wait for who writes into it.
    let facts = place.metadata().map_err(|reason| reason.to_string())?;
    if !facts.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(place).map_err(|reason| reason.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|reason| reason.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    Ok(bytes)
}

/// What the first bytes say, whatever the file's name.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for sent in ["https://example.org/a.png?x=1", "http://h/a", "data:image/png;base64,iVBORw0="] {
            assert_eq!(address(sent), Ok(Some(sent.to_owned())));
        }
        for path in ["a.png", "folder/a.png", "C:a.png"] {
            assert_eq!(address(path), Ok(None));
        }
        for refused in [
            "file:///etc/passwd",
            "data:text/html;base64,aGk=",
            "data:image/png,raw",
            "data:image/png;base64,",
            "data:image/png;base64,a b",
            "https://example.org/a b",
        ] {
            assert!(address(refused).is_err(), "{refused}");
        }
        assert!(address(&format!("data:image/png;base64,{}", "A".repeat(14 << 20))).is_err());
    }

    #[test]
    fn a_file_is_what_its_bytes_say_and_no_larger_than_it_may_be() {
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n..."), Some("png"));
        assert_eq!(kind(b"\xff\xd8\xff\xe0"), Some("jpeg"));
        assert_eq!(kind(b"GIF89a"), Some("gif"));
        assert_eq!(kind(b"RIFF....WEBPVP8 "), Some("webp"));
        assert_eq!(kind(b"<svg/>"), None);
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.png");
        File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(read(&large).unwrap_err().contains("larger than 10 MiB"));
        assert!(read(folder.path()).unwrap_err().contains("no file"));
        assert!(read(&folder.path().join("none.png")).is_err());
    }
}
