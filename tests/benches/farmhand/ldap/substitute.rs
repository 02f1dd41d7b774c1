//! A recording under other names: the farm's name and the SIDs of what it made.

use std::sync::{Mutex, PoisonError};

use directory::ldap::filter_bytes;
use domain::Sid;

/// Replacements of equal length, so that every message is as long as the recorded one.
pub struct Substitute {
    pairs: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Substitute {
    pub fn new(recorded: &str, name: &str) -> Self {
        Self { pairs: Mutex::new(vec![(recorded.as_bytes().to_vec(), name.as_bytes().to_vec())]) }
    }

    /// All stays as it is.
    pub fn none() -> Self {
        Self { pairs: Mutex::default() }
    }

    /// The object with the SID `recorded` has the SID `now` in this run.
    pub fn learn(&self, recorded: &[u8], now: &[u8]) {
        if recorded == now {
            return;
        }
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.iter().any(|(known, _)| known == recorded) {
            return;
        }
        pairs.push((recorded.to_vec(), now.to_vec()));
        if let (Ok(recorded), Ok(now)) = (Sid::from_bytes(recorded), Sid::from_bytes(now)) {
            pairs.push((recorded.to_string().into_bytes(), now.to_string().into_bytes()));
        }
        pairs.push((filter_bytes(recorded).into_bytes(), filter_bytes(now).into_bytes()));
    }

    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.iter().fold(bytes.to_vec(), |bytes, (from, to)| replaced(bytes, from, to))
    }

    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }
}

fn replaced(bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() || bytes.len() < from.len() {
        return bytes;
    }
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes.as_slice());
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
