//! Access control entries (MS-DTYP 2.4.4).

use domain::Sid;
use uuid::Uuid;

use super::descriptor::{DescriptorError, u16_at, u32_at};

/// RIGHT_DS_READ_PROPERTY (MS-ADTS 5.1.3.2): the one right that decides who reads the password.
pub const READ_PROPERTY: u32 = 0x10;

/// Every standard and directory right: what Windows writes for a reader (`0xf01ff`).
pub const FULL_CONTROL: u32 = 0x000F_01FF;

/// The entry does not apply to the object itself.
pub const INHERIT_ONLY: u8 = 0x08;

/// The entry came from the parent.
pub const INHERITED: u8 = 0x10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    Allow,
    Deny,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ace {
    /// Inheritance and audit flags.
    pub flags: u8,
    pub body: AceBody,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AceBody {
    /// The eight types that allow or deny: plain, object, callback, callback object.
    Access(AccessAce),
    /// Audit, alarm, label and every type of the future: kept byte for byte.
    Other { kind: u8, data: Vec<u8> },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessAce {
    pub effect: Effect,
    pub mask: u32,
    pub object: Option<ObjectTypes>,
    pub sid: Sid,
    /// A callback entry: `tail` holds a condition that only the DC can evaluate.
    pub callback: bool,
    /// What follows the SID: the condition, or padding.
    pub tail: Vec<u8>,
}

/// The object part of an object ACE (MS-DTYP 2.4.4.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ObjectTypes {
    /// Flag bits other than the two that say which GUIDs follow.
    pub other_flags: u32,
    pub object_type: Option<Uuid>,
    pub inherited_object_type: Option<Uuid>,
}

impl ObjectTypes {
    const OBJECT: u32 = 1;
    const INHERITED: u32 = 2;

    fn flags(&self) -> u32 {
        let object = if self.object_type.is_some() { Self::OBJECT } else { 0 };
        let inherited = if self.inherited_object_type.is_some() { Self::INHERITED } else { 0 };
        self.other_flags & !(Self::OBJECT | Self::INHERITED) | object | inherited
    }

    fn read(body: &[u8]) -> Result<(Self, usize), DescriptorError> {
        let flags = u32_at(body, 4)?;
        let mut at = 8;
        let mut guid = |present: bool| -> Result<Option<Uuid>, DescriptorError> {
            if !present {
                return Ok(None);
            }
            let bytes = body.get(at..at + 16).and_then(|bytes| bytes.try_into().ok());
            at += 16;
            bytes
                .map(|bytes| Some(Uuid::from_bytes_le(bytes)))
                .ok_or(DescriptorError::Truncated("object ACE"))
        };
        let object_type = guid(flags & Self::OBJECT != 0)?;
        let inherited_object_type = guid(flags & Self::INHERITED != 0)?;
        let other_flags = flags & !(Self::OBJECT | Self::INHERITED);
        Ok((Self { other_flags, object_type, inherited_object_type }, at))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.flags().to_le_bytes());
        for guid in [self.object_type, self.inherited_object_type].into_iter().flatten() {
            out.extend(guid.to_bytes_le());
        }
    }
}

/// Effect, object, callback of the type numbers that allow or deny (MS-DTYP 2.4.4.1).
pub(super) const ACCESS_KINDS: [(u8, Effect, bool, bool); 8] = [
    (0x00, Effect::Allow, false, false),
    (0x01, Effect::Deny, false, false),
    (0x05, Effect::Allow, true, false),
    (0x06, Effect::Deny, true, false),
    (0x09, Effect::Allow, false, true),
    (0x0A, Effect::Deny, false, true),
    (0x0B, Effect::Allow, true, true),
    (0x0C, Effect::Deny, true, true),
];

impl AccessAce {
    fn kind(&self) -> u8 {
        let wanted = (self.effect, self.object.is_some(), self.callback);
        // The table holds every combination, so the search cannot fail.
        ACCESS_KINDS.iter().find(|row| (row.1, row.2, row.3) == wanted).map_or(0, |row| row.0)
    }

    /// `body` is what follows the four bytes of the ACE header.
    fn read(effect: Effect, object: bool, callback: bool, body: &[u8]) -> Result<Self, DescriptorError> {
        let mask = u32_at(body, 0)?;
        let (object, at) = match object {
            true => {
                let (types, at) = ObjectTypes::read(body)?;
                (Some(types), at)
            }
            false => (None, 4),
        };
        let rest = body.get(at..).ok_or(DescriptorError::Truncated("ACE"))?;
        let (sid, size) = Sid::read(rest)?;
        Ok(Self { effect, mask, object, sid, callback, tail: rest[size..].to_vec() })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.mask.to_le_bytes());
        if let Some(object) = &self.object {
            object.write(out);
        }
        out.extend(self.sid.to_bytes());
        out.extend(&self.tail);
    }
}

impl Ace {
    pub fn allow(mask: u32, sid: Sid) -> Self {
        Self::plain(Effect::Allow, mask, sid)
    }

    pub fn deny(mask: u32, sid: Sid) -> Self {
        Self::plain(Effect::Deny, mask, sid)
    }

    fn plain(effect: Effect, mask: u32, sid: Sid) -> Self {
        let access = AccessAce { effect, mask, object: None, sid, callback: false, tail: Vec::new() };
        Self { flags: 0, body: AceBody::Access(access) }
    }

    /// The entry as the check for one right sees it: `None` where it has no say, because it is of
    /// another kind, for children only, for a part of the object only, or about other rights.
    pub fn deciding(&self, right: u32) -> Option<&AccessAce> {
        match &self.body {
            AceBody::Access(access) => {
                let heard =
                    access.object.is_none() && self.flags & INHERIT_ONLY == 0 && access.mask & right != 0;
                heard.then_some(access)
            }
            AceBody::Other { .. } => None,
        }
    }

    /// Whether it is an unconditional entry with `effect` for `sid` that decides about `right`.
    pub fn decides(&self, effect: Effect, right: u32, sid: &Sid) -> bool {
        self.deciding(right)
            .is_some_and(|access| !access.callback && access.effect == effect && access.sid == *sid)
    }

    /// Reads an entry at the start of `bytes`; says how many bytes it took.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), DescriptorError> {
        let size = usize::from(u16_at(bytes, 2)?);
        let whole = bytes.get(..size).filter(|whole| whole.len() >= 4);
        let whole = whole.ok_or(DescriptorError::Truncated("ACE"))?;
        let (kind, flags, body) = (whole[0], whole[1], &whole[4..]);
        let body = match ACCESS_KINDS.iter().find(|row| row.0 == kind) {
            Some((_, effect, object, callback)) => {
                AceBody::Access(AccessAce::read(*effect, *object, *callback, body)?)
            }
            None => AceBody::Other { kind, data: body.to_vec() },
        };
        Ok((Self { flags, body }, size))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DescriptorError> {
        let start = out.len();
        let kind = match &self.body {
            AceBody::Access(access) => access.kind(),
            AceBody::Other { kind, .. } => *kind,
        };
        out.extend([kind, self.flags, 0, 0]);
        match &self.body {
            AceBody::Access(access) => access.write(out),
            AceBody::Other { data, .. } => out.extend(data),
        }
        let size = u16::try_from(out.len() - start).map_err(|_| DescriptorError::TooLarge)?;
        out[start + 2..start + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    }
}
