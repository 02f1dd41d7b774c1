//! The ways to name an object: a DN, `<SID=...>`, `<GUID=...>`, `<WKGUID=...,DN>`
//! (MS-ADTS 3.1.1.3.1.2.4).

use domain::{Dn, Sid};

use super::forest::Forest;
use super::object::Object;

/// The object that `text` names, where there is one.
pub fn resolve<'a>(forest: &'a Forest, text: &str) -> Option<&'a Object> {
    let found = match text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
        None => forest.by_dn(&Dn::parse(text).ok()?),
        Some(inner) => {
            let (kind, value) = inner.split_once('=')?;
            match kind.to_ascii_uppercase().as_str() {
                "SID" => forest.by_sid(&sid(value)?),
                "GUID" => forest.by_value("objectGUID", &guid(value)?).next(),
                "WKGUID" => return well_known(forest, value),
                _ => None,
            }
        }
    };
    found.map(AsRef::as_ref)
}

fn sid(text: &str) -> Option<Sid> {
    text.parse().ok().or_else(|| Sid::from_bytes(&hex::decode(text).ok()?).ok())
}

/// With dashes it is the text form, without them the stored bytes.
fn guid(text: &str) -> Option<Vec<u8>> {
    match text.contains('-') {
        true => uuid::Uuid::parse_str(text).ok().map(|guid| guid.to_bytes_le().to_vec()),
        false => hex::decode(text).ok().filter(|bytes| bytes.len() == 16),
    }
}

fn well_known<'a>(forest: &'a Forest, text: &str) -> Option<&'a Object> {
    let (guid, holder) = text.split_once(',')?;
    let holder = forest.by_dn(&Dn::parse(holder).ok()?)?;
    let lists = ["wellKnownObjects", "otherWellKnownObjects"];
    let mut entries = lists.iter().flat_map(|list| holder.values(list));
    // Each value is `B:32:<GUID>:<DN>`.
    let target = entries.find_map(|value| {
        let mut parts = std::str::from_utf8(value).ok()?.splitn(4, ':').skip(2);
        parts.next().filter(|own| own.eq_ignore_ascii_case(guid)).and(parts.next())
    })?;
    forest.by_dn(&Dn::parse(target).ok()?).map(AsRef::as_ref)
}
