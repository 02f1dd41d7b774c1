//! Access control lists (MS-DTYP 2.4.5).

use super::ace::Ace;
use super::descriptor::{DescriptorError, u16_at};

/// A list, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// 2, or 4 where object entries may stand in it.
    pub revision: u8,
    pub aces: Vec<Ace>,
}

impl Acl {
    /// ACL_REVISION_DS: what every list that Windows writes into a directory carries.
    pub const DS_REVISION: u8 = 4;
    const HEADER: usize = 8;

    pub fn new(aces: Vec<Ace>) -> Self {
        Self { revision: Self::DS_REVISION, aces }
    }

    /// Reads a list at the start of `bytes`. Slack behind the last entry is dropped.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let size = usize::from(u16_at(bytes, 2)?);
        let count = u16_at(bytes, 4)?;
        let whole = bytes.get(..size).filter(|whole| whole.len() >= Self::HEADER);
        let whole = whole.ok_or(DescriptorError::Truncated("ACL"))?;
        let mut rest = &whole[Self::HEADER..];
        let mut aces = Vec::new();
        for _ in 0..count {
            let (ace, size) = Ace::read(rest)?;
            rest = &rest[size..];
            aces.push(ace);
        }
        Ok(Self { revision: whole[0], aces })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DescriptorError> {
        let start = out.len();
        let count = u16::try_from(self.aces.len()).map_err(|_| DescriptorError::TooLarge)?;
        out.extend([self.revision, 0, 0, 0]);
        out.extend(count.to_le_bytes());
        out.extend([0, 0]);
        for ace in &self.aces {
            ace.write(out)?;
        }
        let size = u16::try_from(out.len() - start).map_err(|_| DescriptorError::TooLarge)?;
        out[start + 2..start + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    }
}
