//! Schedules: kept, looked at, and fired, each due time once.

mod fire;
mod keep;
mod model;
mod queue;
mod stats;

pub use model::{
    CalendarRecord, DueSchedule, Fire, Paused, PlannedFire, PlannedRound, QueuedFire, Recorded, Schedule,
    ScheduleStats,
};
