//! Room on the disk, without which nothing is begun that can be done without.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// So much is left to those who can't do without: the log, above all.
const RESERVE_BYTES: u64 = 128 << 20;

/// Makes sure that there is room for so many bytes, and that enough is left then.
///
/// # Errors
/// There is not.
pub(super) fn make_sure_of(bytes: u64, directory: &Path) -> io::Result<()> {
    let disk = statvfs(directory)?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    match free.checked_sub(bytes) {
        Some(left) if left >= RESERVE_BYTES => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("{} MiB are free, too few to take {} of them", free >> 20, bytes >> 20),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_nothing_but_not_for_more_than_any_disk_has() {
        let root = tempfile::tempdir().unwrap();
        make_sure_of(0, root.path()).unwrap();
        let refused = make_sure_of(u64::MAX >> 1, root.path()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }
}
