//! Every gMSA moves off an exposed KDS root key ("golden gMSA"): the steps of `kds-root-key-recovery`.
//!
//! Whoever has the key's secret computes every password that was ever made from it, and every one that
//! will be. So a new key is made, every account is replaced by one whose password comes from the new
//! key, and the old key goes last. Root keys are above Farmhand's rights, and are made and removed by
//! people; what they did is seen in the directory before the next step.

mod await_usable;
mod by_hand;
mod inventory;
mod keys;
mod new_key;
mod none_left;
mod remove_key;
mod replace_accounts;
mod restart;
mod sweep;

pub use await_usable::AwaitUsable;
pub use inventory::{Inventory, InventoryOutput, NAME as INVENTORY, OtherAccount};
pub use new_key::{NAME as NEW_KEY, NewKeyOutput, NewRootKey};
pub use none_left::{NAME as NONE_LEFT, NoneLeft, NoneLeftOutput};
pub use remove_key::{NAME as REMOVE_KEY, RemoveRootKey, RemovedOutput};
pub use replace_accounts::{NAME as REPLACE_ACCOUNTS, Pace, ReplaceAccounts, ReplacedFarm, ReplacedOutput};
pub use restart::RestartKds;
