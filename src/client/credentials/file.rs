//! Reading and replacing the file.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::{CredentialsError, permissions};

/// The most bytes that a file may have.
pub(super) const MAX_SIZE: usize = 64 * 1024;

type Contents = Zeroizing<Vec<u8>>;

/// Reads the file, if it exists. It is refused if others can read or change it.
pub(super) fn read(path: &Path) -> Result<Option<Contents>, CredentialsError> {
    let Some(file) = open(path)? else { return Ok(None) };
    if permissions::is_exposed(&metadata(&file, path)?) {
        return Err(CredentialsError::Exposed { path: path.to_owned() });
    }
    contents(file, path).map(Some)
}

/// Reads the file, if it exists, even if others can read or change it.
pub(super) fn read_with_any_mode(path: &Path) -> Result<Option<Contents>, CredentialsError> {
    open(path)?.map(|file| contents(file, path)).transpose()
}

/// Opens the file, if it exists, and checks that it belongs to the user.
fn open(path: &Path) -> Result<Option<File>, CredentialsError> {
    let file = match permissions::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A link is not followed, and a socket cannot be opened.
        Err(_) if is_something_else(path) => return Err(not_a_file(path)),
        Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
    };
    // Checked on the open file, because its name may refer to another one now.
    let metadata = metadata(&file, path)?;
    if !metadata.is_file() {
        return Err(not_a_file(path));
    }
    if !permissions::is_own(&metadata) {
        return Err(CredentialsError::Foreign { path: path.to_owned() });
    }
    Ok(Some(file))
}

fn is_something_else(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file())
}

fn not_a_file(path: &Path) -> CredentialsError {
    CredentialsError::NotAFile { path: path.to_owned() }
}

fn metadata(file: &File, path: &Path) -> Result<std::fs::Metadata, CredentialsError> {
    file.metadata().map_err(|source| CredentialsError::Read { path: path.to_owned(), source })
}

fn contents(file: File, path: &Path) -> Result<Contents, CredentialsError> {
    // At once, because growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SIZE + 1));
    file.take(MAX_SIZE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
    check_size(&bytes, path)?;
    Ok(bytes)
}

/// Replaces the file, for its owner only. If that fails, the old one stays unchanged.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CredentialsError> {
    check_size(bytes, path)?;
    replace_with(path, |file| file.write_all(bytes))
        .map_err(|source| CredentialsError::Write { path: path.to_owned(), source })
}

fn check_size(bytes: &[u8], path: &Path) -> Result<(), CredentialsError> {
    if bytes.len() > MAX_SIZE {
        return Err(CredentialsError::TooBig { path: path.to_owned() });
    }
    Ok(())
}

fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder(path);
    permissions::create_folder(folder)?;
    // Removed on drop.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    permissions::make_private(file.as_file())?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    permissions::sync_folder(folder);
    Ok(())
}

/// Removes the file, and returns whether this call removed it.
pub(super) fn remove(path: &Path) -> Result<bool, CredentialsError> {
    match std::fs::remove_file(path) {
        Ok(()) => {
            permissions::sync_folder(folder(path));
            Ok(true)
        }
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(CredentialsError::Write { path: path.to_owned(), source }),
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_failing_writer_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        replace(&path, b"old").unwrap();
        let error = replace_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(folder.path()), ["config.json"]);
    }

    #[test]
    fn the_old_file_is_read_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        replace(&path, b"old").unwrap();
        replace_with(&path, |file| {
            file.write_all(b"new")?;
            file.flush()?;
            // What a crash would leave.
            assert_eq!(**read(&path).unwrap().unwrap(), *b"old");
            Ok(())
        })
        .unwrap();
        assert_eq!(**read(&path).unwrap().unwrap(), *b"new");
        assert_eq!(entries(folder.path()), ["config.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_before_anything_is_written() {
        use std::os::unix::fs::MetadataExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        replace_with(&path, |_| {
            for name in entries(folder.path()) {
                let metadata = folder.path().join(name).metadata()?;
                assert_eq!((metadata.mode() & 0o7777, metadata.len()), (0o600, 0));
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_file_may_have_64_kib_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        replace(&path, &[b'x'; MAX_SIZE]).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().len(), MAX_SIZE);
        let too_big = [b'y'; MAX_SIZE + 1];
        assert!(matches!(replace(&path, &too_big), Err(CredentialsError::TooBig { .. })));
        assert_eq!(std::fs::read(&path).unwrap()[0], b'x');
        std::fs::write(&path, too_big).unwrap();
        assert!(matches!(read(&path), Err(CredentialsError::TooBig { .. })));
        assert!(matches!(read_with_any_mode(&path), Err(CredentialsError::TooBig { .. })));
    }

    #[test]
    fn a_file_is_removed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        replace(&path, b"old").unwrap();
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
        assert!(matches!(remove(folder.path()), Err(CredentialsError::Write { .. })));
    }

    #[test]
    fn a_name_alone_is_a_file_of_the_current_directory() {
        assert_eq!(folder(Path::new("config.json")), Path::new("."));
        assert_eq!(folder(Path::new("a/config.json")), Path::new("a"));
    }
}
