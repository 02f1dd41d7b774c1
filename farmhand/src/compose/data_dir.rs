//! The data folder: made private, held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::failure::Failure;

/// Held for as long as the process uses the folder; the system lets go of it when the process
/// ends, however it ends.
pub struct DataDirLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

/// Makes the folder (mode 0700) and takes it.
pub fn take(folder: &Path) -> Result<DataDirLock, Failure> {
    let shown = folder.display();
    let refuse = |problem: std::io::Error| {
        let hint = "name another with --data-dir or FARMHAND_DATA_DIR";
        Failure::refused("data-folder", format!("the data folder {shown} cannot be used: {problem}"), hint)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refuse)?;
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join("lock"))
        .map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(DataDirLock(file)),
        Err(TryLockError::Error(error)) => Err(refuse(error)),
        Err(TryLockError::WouldBlock) => Err(Failure::refused(
            "data-folder-in-use",
            format!("another farmhand uses the data folder {shown}"),
            "stop it first, or give this one a folder of its own with --data-dir",
        )),
    }
}

/// Writes a secret that only this user can read; an old file of that name is replaced whole.
pub fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(secret.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_private_and_held_once() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("a/b");
        let lock = take(&folder).expect("free");
        assert_eq!(mode(&folder), 0o700);
        let second = take(&folder).err().expect("held");
        assert_eq!(second.code, "data-folder-in-use");
        drop(lock);
        assert!(take(&folder).is_ok());
    }

    #[test]
    fn a_secret_is_for_its_owner_alone_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin-token");
        std::fs::write(&path, "old").expect("written");
        write_secret(&path, "fh_x").expect("written");
        assert_eq!((std::fs::read_to_string(&path).expect("read").as_str(), mode(&path)), ("fh_x\n", 0o600));
    }
}
