//! The managed password interval and the ten-hour slots in which a DC counts it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// msDS-ManagedPasswordInterval in days, 1 to 365; fixed when the account is created.
///
/// A DC takes 0, -1 and 2147483647 as well, and then every read of the password fails for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct ManagedPasswordInterval(u16);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a managed password interval is 1 to 365 days, this is {0}")]
pub struct IntervalError(pub i64);

impl ManagedPasswordInterval {
    /// Length of a slot of the key distribution service (MS-GKDI 3.1.4.1.1: an L2 key).
    pub const SLOT_HOURS: u32 = 10;

    pub fn from_days(days: i64) -> Result<Self, IntervalError> {
        match u16::try_from(days) {
            Ok(days @ 1..=365) => Ok(Self(days)),
            _ => Err(IntervalError(days)),
        }
    }

    pub fn days(self) -> u16 {
        self.0
    }

    /// How many ten-hour slots a password lives: `floor(days * 24 / 10)`. Exact only for
    /// multiples of 5 days; a one-day interval rolls after 20 hours.
    pub fn rollover_slots(self) -> u32 {
        u32::from(self.0) * 24 / Self::SLOT_HOURS
    }

    pub fn rollover_hours(self) -> u32 {
        self.rollover_slots() * Self::SLOT_HOURS
    }
}

/// New-ADServiceAccount's default.
impl Default for ManagedPasswordInterval {
    fn default() -> Self {
        Self(30)
    }
}

impl fmt::Display for ManagedPasswordInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slots, hours) = (self.rollover_slots(), self.rollover_hours());
        write!(f, "{} days ({slots} slots of ten hours: rolls after {hours} h)", self.0)
    }
}

impl TryFrom<i64> for ManagedPasswordInterval {
    type Error = IntervalError;
    fn try_from(days: i64) -> Result<Self, IntervalError> {
        Self::from_days(days)
    }
}
impl From<ManagedPasswordInterval> for i64 {
    fn from(interval: ManagedPasswordInterval) -> i64 {
        interval.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_true_rollover_is_counted_in_slots() {
        let cases = [
            (1, 2, 20),
            (2, 4, 40),
            (7, 16, 160),
            (15, 36, 360),
            (30, 72, 720),
            (45, 108, 1080),
            (90, 216, 2160),
        ];
        for (days, slots, hours) in cases {
            let interval = ManagedPasswordInterval::from_days(days).expect("valid");
            assert_eq!((interval.rollover_slots(), interval.rollover_hours()), (slots, hours), "{days} days");
        }
    }

    #[test]
    fn what_would_break_every_read_is_refused() {
        for bad in [0, -1, 366, 2_147_483_647, 2_147_483_648] {
            assert_eq!(ManagedPasswordInterval::from_days(bad), Err(IntervalError(bad)));
        }
    }
}
