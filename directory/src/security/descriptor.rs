//! The descriptor itself: owner, group and two lists behind offsets.

use domain::Sid;

use super::acl::Acl;

/// A self-relative security descriptor (MS-DTYP 2.4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// Resource manager control; meaningless unless the control word says so.
    pub resource_manager: u8,
    pub control: u16,
    pub owner: Option<Sid>,
    pub group: Option<Sid>,
    pub sacl: Option<Acl>,
    pub dacl: Option<Acl>,
}

/// What a descriptor says about access. Absent and NULL are opposites, and tools confuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dacl<'a> {
    /// The control word says that there is none.
    Absent,
    /// Said to be there, but without a list: everyone is allowed.
    Null,
    List(&'a Acl),
    /// A list stands there, but the control word says that there is none. Samba goes by the
    /// list; what Windows does was not tested.
    Unannounced(&'a Acl),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    #[error("the {0} reaches over the end")]
    Truncated(&'static str),
    #[error("revision {0} is unknown")]
    Revision(u8),
    #[error("it is not self-relative (control {0:#06x})")]
    NotSelfRelative(u16),
    #[error("a SID in it is malformed")]
    Sid(#[from] domain::sid::SidError),
    #[error("it would be larger than a list can be (65,535 bytes)")]
    TooLarge,
}

impl SecurityDescriptor {
    pub const DACL_PRESENT: u16 = 0x0004;
    pub const SELF_RELATIVE: u16 = 0x8000;
    const HEADER: usize = 20;

    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let header = bytes.get(..Self::HEADER).ok_or(DescriptorError::Truncated("header"))?;
        if header[0] != 1 {
            return Err(DescriptorError::Revision(header[0]));
        }
        let control = u16_at(header, 2)?;
        if control & Self::SELF_RELATIVE == 0 {
            return Err(DescriptorError::NotSelfRelative(control));
        }
        let sid = |at| part(bytes, at, "SID").and_then(|rest| rest.map(read_sid).transpose());
        let acl = |at| part(bytes, at, "ACL").and_then(|rest| rest.map(Acl::read).transpose());
        Ok(Self {
            resource_manager: header[1],
            control,
            owner: sid(4)?,
            group: sid(8)?,
            sacl: acl(12)?,
            dacl: acl(16)?,
        })
    }

    /// Owner, group, SACL, DACL in this order: what Samba writes, and one of the two orders seen
    /// from Windows.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DescriptorError> {
        let mut out = vec![1, self.resource_manager];
        out.extend((self.control | Self::SELF_RELATIVE).to_le_bytes());
        out.resize(Self::HEADER, 0);
        for (at, sid) in [(4, &self.owner), (8, &self.group)] {
            if let Some(sid) = sid {
                point(&mut out, at)?;
                out.extend(sid.to_bytes());
            }
        }
        for (at, acl) in [(12, &self.sacl), (16, &self.dacl)] {
            if let Some(acl) = acl {
                point(&mut out, at)?;
                acl.write(&mut out)?;
            }
        }
        Ok(out)
    }

    pub fn dacl(&self) -> Dacl<'_> {
        match (self.control & Self::DACL_PRESENT != 0, &self.dacl) {
            (true, Some(acl)) => Dacl::List(acl),
            (true, None) => Dacl::Null,
            (false, Some(acl)) => Dacl::Unannounced(acl),
            (false, None) => Dacl::Absent,
        }
    }
}

fn read_sid(bytes: &[u8]) -> Result<Sid, DescriptorError> {
    Ok(Sid::read(bytes)?.0)
}

/// What the offset at `at` points to; offset 0 means that there is nothing.
fn part<'a>(bytes: &'a [u8], at: usize, what: &'static str) -> Result<Option<&'a [u8]>, DescriptorError> {
    let offset = usize::try_from(u32_at(bytes, at)?).map_err(|_| DescriptorError::Truncated(what))?;
    match offset {
        0 => Ok(None),
        offset => bytes.get(offset..).map(Some).ok_or(DescriptorError::Truncated(what)),
    }
}

/// Lets the offset at `at` point to the end of `out`.
fn point(out: &mut [u8], at: usize) -> Result<(), DescriptorError> {
    let offset = u32::try_from(out.len()).map_err(|_| DescriptorError::TooLarge)?;
    out[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    Ok(())
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, DescriptorError> {
    let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    two.map(u16::from_le_bytes).ok_or(DescriptorError::Truncated("structure"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, DescriptorError> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_le_bytes).ok_or(DescriptorError::Truncated("structure"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::{Ace, AceBody, FULL_CONTROL, READ_PROPERTY};

    fn sid(text: &str) -> Sid {
        text.parse().expect("a valid SID")
    }

    /// Samba's bytes for `O:BAD:(A;;0xf01ff;;;S-1-5-21-1-2-3-1000)`.
    const SAMBA: &str = "0100048014000000000000000000000024000000010200000000000520000000200200000400\
        2c000100000000002400ff010f00010500000000000515000000010000000200000003000000e8030000";

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(char::is_whitespace, "")).expect("hexadecimal")
    }

    #[test]
    fn what_samba_wrote_is_read_and_written_alike() {
        let parsed = SecurityDescriptor::parse(&bytes(SAMBA)).expect("valid");
        assert_eq!((parsed.control, &parsed.group, &parsed.sacl), (0x8004, &None, &None));
        assert_eq!(parsed.owner, Some(sid("S-1-5-32-544")));
        let dacl = parsed.dacl.as_ref().expect("a list");
        assert_eq!(dacl.revision, 4);
        assert_eq!(dacl.aces, [Ace::allow(FULL_CONTROL, sid("S-1-5-21-1-2-3-1000"))]);
        assert_eq!(parsed.to_bytes().expect("fits"), bytes(SAMBA));
    }

    /// The other order that occurs: the list at 20, the owner behind it.
    #[test]
    fn offsets_are_followed_not_the_order() {
        let usual = bytes(SAMBA);
        let (owner, dacl) = usual[20..].split_at(16);
        let mut other = usual[..20].to_vec();
        other[4..8].copy_from_slice(&(20 + dacl.len() as u32).to_le_bytes());
        other[16..20].copy_from_slice(&20_u32.to_le_bytes());
        other.extend(dacl.iter().chain(owner));
        assert_eq!(SecurityDescriptor::parse(&other), SecurityDescriptor::parse(&usual));
    }

    #[test]
    fn absent_and_null_lists_are_told_apart() {
        let header = |control: u16| {
            let mut header = vec![1, 0];
            header.extend(control.to_le_bytes());
            header.resize(20, 0);
            SecurityDescriptor::parse(&header).expect("valid")
        };
        assert_eq!(header(0x8000).dacl(), Dacl::Absent);
        assert_eq!(header(0x8004).dacl(), Dacl::Null);
    }

    #[test]
    fn what_is_no_descriptor_is_refused_with_the_reason() {
        let mut wrong_revision = bytes(SAMBA);
        wrong_revision[0] = 2;
        let mut absolute = bytes(SAMBA);
        absolute[3] = 0;
        let mut outside = bytes(SAMBA);
        outside[16] = 0xff;
        for (bad, error) in [
            (Vec::new(), DescriptorError::Truncated("header")),
            (wrong_revision, DescriptorError::Revision(2)),
            (absolute, DescriptorError::NotSelfRelative(4)),
            (outside, DescriptorError::Truncated("ACL")),
            (bytes(SAMBA)[..60].to_vec(), DescriptorError::Truncated("ACL")),
        ] {
            assert_eq!(SecurityDescriptor::parse(&bad), Err(error));
        }
    }

    #[test]
    fn more_entries_than_a_list_holds_are_an_error_not_a_broken_list() {
        let aces = (0..2_000).map(|rid| {
            Ace::allow(FULL_CONTROL, sid("S-1-5-21-1-2-3").with_rid(rid).expect("four sub-authorities"))
        });
        let descriptor = SecurityDescriptor {
            resource_manager: 0,
            control: 0x8004,
            owner: None,
            group: None,
            sacl: None,
            dacl: Some(Acl::new(aces.collect())),
        };
        assert_eq!(descriptor.to_bytes(), Err(DescriptorError::TooLarge));
    }

    /// An audit entry, an entry of a type that nobody knows, a condition: each stays as it was.
    fn ace_bytes() -> impl Strategy<Value = Vec<u8>> {
        (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..24), any::<u32>()).prop_map(
            |(kind, flags, extra, mask)| {
                let mut body = mask.to_le_bytes().to_vec();
                if matches!(kind, 5 | 6 | 11 | 12) {
                    body.extend(3_u32.to_le_bytes());
                    body.extend([7; 32]);
                }
                body.extend(sid("S-1-5-32-545").to_bytes());
                body.extend(extra);
                let size = (body.len() + 4) as u16;
                let mut ace = vec![kind, flags];
                ace.extend(size.to_le_bytes());
                ace.extend(body);
                ace
            },
        )
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), valid_head: bool) {
            if let (true, [revision, _, _, control, ..]) = (valid_head, bytes.as_mut_slice()) {
                *revision = 1;
                *control |= 0x80;
            }
            let _ = SecurityDescriptor::parse(&bytes);
        }

        #[test]
        fn one_flipped_byte_never_makes_the_parser_panic(at in 0_usize..80, value: u8) {
            let mut changed = bytes(SAMBA);
            changed[at] = value;
            if let Ok(parsed) = SecurityDescriptor::parse(&changed) {
                let again = parsed.to_bytes().expect("it was no larger before");
                prop_assert_eq!(SecurityDescriptor::parse(&again), Ok(parsed));
            }
        }

        #[test]
        fn entries_of_any_type_survive_byte_for_byte(entries in prop::collection::vec(ace_bytes(), 0..6)) {
            let mut acl = vec![4, 0];
            acl.extend((8 + entries.iter().map(Vec::len).sum::<usize>() as u16).to_le_bytes());
            acl.extend((entries.len() as u16).to_le_bytes());
            acl.extend([0, 0]);
            acl.extend(entries.iter().flatten());
            let mut descriptor = bytes(SAMBA)[..36].to_vec();
            descriptor.extend(&acl);
            let parsed = SecurityDescriptor::parse(&descriptor).expect("well formed");
            prop_assert_eq!(parsed.to_bytes().expect("it was no larger before"), descriptor);
        }
    }

    #[test]
    fn the_eight_types_that_allow_or_deny_are_understood() {
        for (kind, effect, object, callback) in super::super::ace::ACCESS_KINDS {
            let mut ace = vec![kind, 0, 0, 0];
            ace.extend(READ_PROPERTY.to_le_bytes());
            if object {
                ace.extend(0_u32.to_le_bytes());
            }
            ace.extend(sid("S-1-1-0").to_bytes());
            ace[2] = ace.len() as u8;
            let (read, _) = Ace::read(&ace).expect("well formed");
            let AceBody::Access(access) = read.body else { panic!("type {kind} was not understood") };
            assert_eq!((access.effect, access.object.is_some(), access.callback), (effect, object, callback));
            assert_eq!(access.sid, sid("S-1-1-0"));
        }
        assert!(matches!(Ace::read(&[2, 0, 4, 0]).expect("audit").0.body, AceBody::Other { kind: 2, .. }));
    }
}
