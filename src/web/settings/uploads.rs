//! Files that a browser sends: streamed to the disk with a cap, kept for a while under a random name, so that a preview
//! survives a reload.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use axum::{body::Body, extract::Multipart};
use http_body_util::BodyExt;
use ring::rand::{SecureRandom, SystemRandom};

use super::Fields;
use crate::runtime::store::{private_file, private_folder};

/// The oldest go first.
const UPLOADS_MAX: usize = 6;
const FIELD_BYTES_MAX: usize = 256;
const FIELDS_MAX: usize = 16;

/// Names one upload; 16 hex digits, so no path can hide in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(String);

impl UploadId {
    pub fn named(word: &str) -> Option<UploadId> {
        let is_one = word.len() == 16 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_one.then(|| UploadId(word.into()))
    }

    pub fn word(&self) -> &str {
        &self.0
    }

    pub fn path(&self, data: &Path) -> PathBuf {
        folder(data).join(&self.0)
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("uploads")
}

/// What a form with a file sent. The error is a sentence.
pub async fn receive(mut form: Multipart, data: &Path, bytes_max: u64) -> Result<(Option<UploadId>, Fields), String> {
    let mut fields = Fields::new();
    let mut upload: Option<UploadId> = None;
    let broken = |error: axum::extract::multipart::MultipartError| {
        if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE { too_large(bytes_max) } else { cut_short() }
    };
    while let Some(mut part) = form.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_string();
        if !matches!(name.as_str(), "file" | "text") {
            let mut value = Vec::new();
            while let Some(chunk) = part.chunk().await.map_err(broken)? {
                value.extend_from_slice(&chunk[..chunk.len().min(FIELD_BYTES_MAX.saturating_sub(value.len()))]);
            }
            if fields.len() < FIELDS_MAX {
                fields.insert(name, String::from_utf8_lossy(&value).into_owned());
            }
            continue;
        }
        let mut file: Option<(UploadId, File, u64)> = None;
        let received = async {
            while let Some(chunk) = part.chunk().await.map_err(broken)? {
                if chunk.is_empty() {
                    continue;
                }
                let (_, file, bytes) = match &mut file {
                    Some(file) => file,
                    none => none.insert(open(data)?),
                };
                *bytes += chunk.len() as u64;
                if *bytes > bytes_max {
                    return Err(too_large(bytes_max));
                }
                file.write_all(&chunk).map_err(|error| unwritten(&error))?;
            }
            Ok(())
        }
        .await;
        if let Some((id, ..)) = file {
            if let Err(refusal) = received {
                let _ = fs::remove_file(id.path(data));
                return Err(refusal);
            }
            // A file goes before a text that was pasted beside it.
            if name == "text" && upload.is_some() {
                let _ = fs::remove_file(id.path(data));
            } else {
                upload = Some(id);
            }
        } else {
            received?;
        }
    }
    prune(data);
    Ok((upload, fields))
}

/// A file that is all of the body.
pub async fn receive_alone(mut body: Body, data: &Path, bytes_max: u64) -> Result<UploadId, String> {
    let (id, mut file, mut bytes) = open(data)?;
    let received = async {
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| cut_short())?.into_data() else { continue };
            bytes += piece.len() as u64;
            if bytes > bytes_max {
                return Err(too_large(bytes_max));
            }
            file.write_all(&piece).map_err(|error| unwritten(&error))?;
        }
        Ok(())
    };
    let received = received.await;
    prune(data);
    match received {
        Ok(()) => Ok(id),
        Err(refusal) => {
            let _ = fs::remove_file(id.path(data));
            Err(refusal)
        }
    }
}

fn too_large(bytes_max: u64) -> String {
    format!("The file has more than {} MiB, which is the most. Choose another.", bytes_max >> 20)
}

fn cut_short() -> String {
    "The file did not arrive whole: the connection was cut. Send it again.".into()
}

fn unwritten(error: &io::Error) -> String {
    format!("The file cannot be stored here ({error}). Free some space on this machine, then send it again.")
}

fn open(data: &Path) -> Result<(UploadId, File, u64), String> {
    let mut random = [0; 8];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| "This machine has no random numbers now. Send the file again.".to_string())?;
    let id = UploadId(data_encoding::HEXLOWER.encode(&random));
    let opened = private_folder(&folder(data)).and_then(|()| private_file(&id.path(data)));
    opened.map(|file| (id, file, 0)).map_err(|error| unwritten(&error))
}

fn prune(data: &Path) {
    let Ok(entries) = fs::read_dir(folder(data)) else { return };
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| entry.ok())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_by(|one, other| other.cmp(one));
    for (_, old) in files.into_iter().skip(UPLOADS_MAX) {
        let _ = fs::remove_file(old);
    }
}

/// The text of an upload; the error is a sentence.
pub fn text(id: &UploadId, data: &Path) -> Result<String, String> {
    let bytes = fs::read(id.path(data)).map_err(|_| "This upload is not there any more. Send the file again.".to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("Line {line} is not UTF-8 text. Save the file as UTF-8, or choose another.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_hides_in_the_name_of_an_upload() {
        for word in ["", "..", "../../etc/passwd", "0123456789abcde/", "0123456789ABCDEF", "0123456789abcdef0"] {
            assert_eq!(UploadId::named(word), None, "{word}");
        }
        assert!(UploadId::named("0123456789abcdef").is_some());
    }
}
