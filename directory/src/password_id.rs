//! msDS-ManagedPasswordId: which key of the key distribution service a gMSA's password is made
//! from, and so since when it lives and when it is due (MS-GKDI 3.1.4.1, MS-ADTS 3.1.1.4.5.39).

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use domain::ManagedPasswordInterval;
use uuid::Uuid;

/// One of the ten-hour slots in which the service counts time since 1601, as the triple that
/// names its key: L0 of 10,240 hours, L1 of 320, L2 of 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u32);

impl Slot {
    const SECONDS: i64 = 36_000;
    /// 1601-01-01T00:00:00Z in Unix seconds.
    const EPOCH: i64 = -11_644_473_600;
    /// Far beyond any account, and every slot up to it has a time that can be computed.
    const MAX_L0: u32 = 100_000;

    /// `None` where L1 or L2 is over 31, or L0 is no date that anything could mean.
    pub fn new(l0: u32, l1: u32, l2: u32) -> Option<Self> {
        (l0 <= Self::MAX_L0 && l1 < 32 && l2 < 32).then(|| Self((l0 * 32 + l1) * 32 + l2))
    }

    /// The slot that holds `time`; `None` before 1601 and in the very far future.
    pub fn containing(time: DateTime<Utc>) -> Option<Self> {
        let index = (time.timestamp() - Self::EPOCH).div_euclid(Self::SECONDS);
        u32::try_from(index).ok().filter(|index| *index <= Self::MAX_L0 * 1024).map(Self)
    }

    pub fn l0(self) -> u32 {
        self.0 / 1024
    }
    pub fn l1(self) -> u32 {
        self.0 / 32 % 32
    }
    pub fn l2(self) -> u32 {
        self.0 % 32
    }

    pub fn start(self) -> DateTime<Utc> {
        let seconds = Self::EPOCH + i64::from(self.0) * Self::SECONDS;
        // The constructors bound the slot, so the time is representable.
        DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn plus(self, slots: u32) -> Self {
        Self(self.0.saturating_add(slots))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}, {})", self.l0(), self.l1(), self.l2())
    }
}

/// The value of msDS-ManagedPasswordId and msDS-ManagedPasswordPreviousId.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedPasswordId {
    pub slot: Slot,
    pub root_key: Uuid,
    /// DNS name of the domain.
    pub domain: String,
    pub forest: String,
    /// Bit 1: the key may encrypt new data; bit 0: a public key follows.
    pub flags: u32,
    /// Empty in every gMSA seen.
    pub additional: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordIdError {
    #[error("{0} bytes are too few")]
    Truncated(usize),
    #[error("it does not start with version 1 and KDSK")]
    Magic,
    #[error("({0}, {1}, {2}) is no key of the key distribution service")]
    Slot(u32, u32, u32),
    #[error("its {0} name is not UTF-16")]
    Name(&'static str),
}

impl ManagedPasswordId {
    const HEADER: usize = 52;
    const MAGIC: &'static [u8; 4] = b"KDSK";

    /// Total: any bytes, no panic.
    pub fn parse(bytes: &[u8]) -> Result<Self, PasswordIdError> {
        let truncated = || PasswordIdError::Truncated(bytes.len());
        let header = bytes.get(..Self::HEADER).ok_or_else(truncated)?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(0) != 1 || &header[4..8] != Self::MAGIC {
            return Err(PasswordIdError::Magic);
        }
        let (l0, l1, l2) = (word(12), word(16), word(20));
        let slot = Slot::new(l0, l1, l2).ok_or(PasswordIdError::Slot(l0, l1, l2))?;
        let root_key: [u8; 16] = header[24..40].try_into().map_err(|_| truncated())?;
        let mut rest = &bytes[Self::HEADER..];
        let mut take = |at: usize| {
            let size = usize::try_from(word(at)).map_err(|_| truncated())?;
            let (part, behind) = rest.split_at_checked(size).ok_or_else(truncated)?;
            rest = behind;
            Ok(part)
        };
        let additional = take(40)?.to_vec();
        let domain = read_name(take(44)?, "domain")?;
        let forest = read_name(take(48)?, "forest")?;
        let root_key = Uuid::from_bytes_le(root_key);
        Ok(Self { slot, root_key, domain, forest, flags: word(8), additional })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let (domain, forest) = (write_name(&self.domain), write_name(&self.forest));
        let mut out = 1_u32.to_le_bytes().to_vec();
        out.extend(Self::MAGIC);
        for word in [self.flags, self.slot.l0(), self.slot.l1(), self.slot.l2()] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.root_key.to_bytes_le());
        for part in [&self.additional, &domain, &forest] {
            // A DNS name has at most 255 characters, and what is read fits its 32-bit length.
            out.extend((part.len() as u32).to_le_bytes());
        }
        out.extend(self.additional.iter().chain(&domain).chain(&forest));
        out
    }

    /// Start of the slot: when the password's life is counted from. Not the moment at which the
    /// DC made it, which is later (pwdLastSet) and decides nothing.
    pub fn slot_start(&self) -> DateTime<Utc> {
        self.slot.start()
    }

    /// When the password is due for its next roll. Rolling is lazy: a DC rolls when somebody who
    /// may reads the password after that moment, not at it.
    pub fn next_due(&self, interval: ManagedPasswordInterval) -> DateTime<Utc> {
        self.slot.plus(interval.rollover_slots()).start()
    }

    /// The slot that a DC would roll to at `now`: missed periods are skipped, not made up for.
    /// `None` while the password is not due.
    pub fn rolls_to(&self, interval: ManagedPasswordInterval, now: DateTime<Utc>) -> Option<Slot> {
        let current = Slot::containing(now)?;
        // An interval has at least two slots, so the division is safe.
        let periods = current.0.checked_sub(self.slot.0)? / interval.rollover_slots();
        (periods > 0).then(|| self.slot.plus(periods * interval.rollover_slots()))
    }

    /// From this moment on (five minutes before it is due) a DC hands out the next password.
    pub fn window_opens(&self, interval: ManagedPasswordInterval) -> DateTime<Utc> {
        self.next_due(interval) - TimeDelta::minutes(5)
    }
}

/// UTF-16LE with the terminating NUL inside the length.
fn read_name(bytes: &[u8], what: &'static str) -> Result<String, PasswordIdError> {
    let units: Vec<_> = bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    let text = String::from_utf16(&units).map_err(|_| PasswordIdError::Name(what))?;
    match bytes.len() % 2 {
        0 => Ok(text.trim_end_matches('\0').to_owned()),
        _ => Err(PasswordIdError::Name(what)),
    }
}

fn write_name(name: &str) -> Vec<u8> {
    name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a valid time")
    }

    #[test]
    fn slots_are_the_times_that_real_accounts_show() {
        for ((l0, l1, l2), start) in [
            ((361, 26, 24), "2023-09-09T08:00:00Z"),
            ((362, 1, 14), "2023-12-07T12:00:00Z"),
            ((364, 18, 15), "2026-11-21T22:00:00Z"),
            ((360, 16, 3), "2022-02-17T14:00:00Z"),
        ] {
            let slot = Slot::new(l0, l1, l2).expect("valid");
            assert_eq!(slot.start(), at(start));
            assert_eq!((slot.l0(), slot.l1(), slot.l2()), (l0, l1, l2));
            assert_eq!(Slot::containing(at(start)), Some(slot));
            assert_eq!(
                Slot::containing(at(start) + TimeDelta::hours(10) - TimeDelta::seconds(1)),
                Some(slot)
            );
            assert_ne!(Slot::containing(at(start) + TimeDelta::hours(10)), Some(slot));
        }
        assert_eq!(Slot::new(1, 32, 0).or(Slot::new(1, 0, 32)).or(Slot::new(u32::MAX, 0, 0)), None);
    }

    fn id() -> ManagedPasswordId {
        ManagedPasswordId {
            slot: Slot::new(361, 26, 24).expect("valid"),
            root_key: "7dc95c96-fa85-183a-dff5-f70696bf0b11".parse().expect("a UUID"),
            domain: "contoso.com".to_owned(),
            forest: "contoso.com".to_owned(),
            flags: 2,
            additional: Vec::new(),
        }
    }

    /// Written out by hand from the layout, so that reader and writer cannot be wrong together.
    #[test]
    fn the_layout_is_that_of_the_specification() {
        let name = "63006f006e0074006f0073006f002e0063006f006d000000";
        let expected = format!(
            "01000000 4b44534b 02000000 69010000 1a000000 18000000 965cc97d85fa3a18dff5f70696bf0b11 \
             00000000 18000000 18000000 {name} {name}"
        );
        assert_eq!(hex::encode(id().to_bytes()), expected.replace(' ', ""));
        assert_eq!(ManagedPasswordId::parse(&id().to_bytes()), Ok(id()));
    }

    #[test]
    fn due_times_are_counted_in_slots_from_the_slots_start() {
        let thirty = ManagedPasswordInterval::default();
        let one = ManagedPasswordInterval::from_days(1).expect("valid");
        assert_eq!(id().slot_start(), at("2023-09-09T08:00:00Z"));
        assert_eq!(id().next_due(thirty), at("2023-10-09T08:00:00Z"));
        assert_eq!(id().next_due(one), at("2023-09-10T04:00:00Z"), "20 hours, not 24");
        assert_eq!(id().window_opens(thirty), at("2023-10-09T07:55:00Z"));
    }

    #[test]
    fn missed_periods_are_skipped() {
        let thirty = ManagedPasswordInterval::default();
        let due = id().next_due(thirty);
        assert_eq!(id().rolls_to(thirty, due - TimeDelta::seconds(1)), None);
        assert_eq!(id().rolls_to(thirty, due).map(Slot::start), Some(due));
        let much_later = due + TimeDelta::days(70);
        assert_eq!(id().rolls_to(thirty, much_later).map(Slot::start), Some(due + TimeDelta::days(60)));
        assert_eq!(id().rolls_to(thirty, at("2020-01-01T00:00:00Z")), None, "a DC with a clock behind");
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_reason() {
        let whole = id().to_bytes();
        assert_eq!(ManagedPasswordId::parse(&[]), Err(PasswordIdError::Truncated(0)));
        let short = &whole[..whole.len() - 1];
        assert_eq!(ManagedPasswordId::parse(short), Err(PasswordIdError::Truncated(short.len())));
        let mut magic = whole.clone();
        magic[4] = b'X';
        assert_eq!(ManagedPasswordId::parse(&magic), Err(PasswordIdError::Magic));
        let mut slot = whole.clone();
        slot[16] = 32;
        assert_eq!(ManagedPasswordId::parse(&slot), Err(PasswordIdError::Slot(361, 32, 24)));
        let mut name = whole;
        name[53] = 0xd8;
        assert_eq!(ManagedPasswordId::parse(&name), Err(PasswordIdError::Name("domain")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), head: bool) {
            if head && bytes.len() > 52 {
                bytes[..8].copy_from_slice(b"\x01\0\0\0KDSK");
                bytes[12..24].fill(1);
            }
            let _ = ManagedPasswordId::parse(&bytes);
        }

        #[test]
        fn every_id_survives_the_bytes(
            index in 0_u32..102_400_000, key: u128, flags: u32,
            domain in "[a-zü.]{0,40}", forest in "[a-z.]{0,40}",
            additional in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let slot = Slot::new(index / 1024, index / 32 % 32, index % 32).expect("in range");
            let root_key = Uuid::from_u128(key);
            let id = ManagedPasswordId { slot, root_key, domain, forest, flags, additional };
            prop_assert_eq!(ManagedPasswordId::parse(&id.to_bytes()), Ok(id.clone()));
            prop_assert_eq!(Slot::containing(id.slot_start()), Some(slot));
        }
    }
}
