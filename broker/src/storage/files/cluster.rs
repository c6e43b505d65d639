//! The cluster's id: the folder has it in a file of its own, as Kafka's folders do.
//!
//! ```text
//! meta.properties        version=1, and cluster.id=<the id>
//! ```

use std::io;
use std::sync::Arc;

use super::FileStorage;

const FILE: &str = "meta.properties";
const NAME: &str = "cluster.id=";

impl FileStorage {
    /// The id of the cluster that the folder belongs to. One without an id gets this one and keeps it.
    ///
    /// # Errors
    /// What the disk answers; [`io::ErrorKind::InvalidData`] when the file is there and has no id.
    pub fn cluster_id(&self, new: &str) -> io::Result<Arc<str>> {
        let (disk, path) = (&self.shelf.disk, self.root.join(FILE));
        match disk.read(&path) {
            Ok(content) => id_in(&content).ok_or_else(|| {
                let what = format!("{} has no `cluster.id`", path.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.replace(&path, format!("version=1\n{NAME}{new}\n").as_bytes())?;
                Ok(Arc::from(new))
            }
            Err(error) => Err(error),
        }
    }
}

fn id_in(content: &[u8]) -> Option<Arc<str>> {
    let ids = std::str::from_utf8(content).ok()?.lines().filter_map(|line| line.trim().strip_prefix(NAME));
    ids.map(str::trim).find(|id| !id.is_empty()).map(Arc::from)
}
