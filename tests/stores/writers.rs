//! Writers that never stop issuing and changing keys, and what has to be left of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tower_api_key::store::{KeyQuery, StoredKey};
use tower_api_key::{KeyId, KeyManager, KeyUpdate, ManageError, NewKey};

use crate::common::in_time;

pub const TENANT: &str = "writers";

/// Writers at work.
pub struct Writers {
    writers: Vec<JoinHandle<Journal>>,
    ends: Arc<AtomicBool>,
}

/// What one of them wrote.
#[derive(Default)]
struct Journal {
    keys: Vec<Written>,
    failures: usize,
}

/// What has to be known of a key.
struct Written {
    id: KeyId,
    /// Those that it may have: the last that was acknowledged, and those that failed since.
    names: Vec<String>,
    rotation: Rotation,
}

enum Rotation {
    /// Whether it was made is not known.
    Failed,
    Acknowledged(KeyId),
}

impl Writers {
    /// Starts two of them on each node.
    pub fn start(nodes: &[KeyManager]) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let write = |keys: &KeyManager| tokio::spawn(write(keys.clone(), Arc::clone(&ends)));
        let writers = nodes.iter().chain(nodes).map(write).collect();
        Self { writers, ends }
    }

    /// Stops them, and checks that nothing is lost that was acknowledged and that nothing is half
    /// done. Returns how many keys there are, and how many changes failed.
    pub async fn end(self, keys: &KeyManager) -> (usize, usize) {
        self.ends.store(true, Ordering::SeqCst);
        let mut journals = Vec::new();
        for writer in self.writers {
            journals.push(in_time(writer).await.unwrap());
        }
        let kept = in_time(all(keys)).await;
        let failures = journals.iter().map(|journal| journal.failures).sum();
        journals.iter().flat_map(|journal| &journal.keys).for_each(|key| check(key, &kept));
        for key in kept.values() {
            let successor = key.record.successor();
            assert!(successor.is_none_or(|id| kept.contains_key(id)), "half a rotation: {key:?}");
        }
        (kept.len(), failures)
    }
}

async fn write(keys: KeyManager, ends: Arc<AtomicBool>) -> Journal {
    let mut journal = Journal::default();
    while !ends.load(Ordering::SeqCst) {
        match keys.issue(NewKey::named("new").tenant(TENANT)).await {
            Ok(issued) => {
                let written =
                    change(&keys, issued.record.id().clone(), &mut journal.failures).await;
                journal.keys.push(written);
            }
            Err(error) => failed(&error, &mut journal.failures).await,
        }
    }
    journal
}

/// Renames a key some times and rotates it.
async fn change(keys: &KeyManager, id: KeyId, failures: &mut usize) -> Written {
    let mut names = vec!["new".to_owned()];
    for number in 0..3 {
        let name = format!("name {number}");
        names.push(name.clone());
        match keys.update(&id, &KeyUpdate::new().name(&name)).await {
            Ok(_) => names = vec![name],
            Err(error) => failed(&error, failures).await,
        }
    }
    let rotation = match keys.rotate(&id, Duration::from_secs(3600)).await {
        Ok(rotated) => Rotation::Acknowledged(rotated.record.id().clone()),
        Err(error) => {
            failed(&error, failures).await;
            Rotation::Failed
        }
    };
    Written { id, names, rotation }
}

async fn failed(error: &ManageError, failures: &mut usize) {
    let is_of_store = matches!(error, ManageError::Store(_) | ManageError::Deadline(_));
    assert!(is_of_store, "{error}");
    *failures += 1;
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn all(keys: &KeyManager) -> HashMap<KeyId, StoredKey> {
    let mut all = HashMap::new();
    let mut query = KeyQuery::new().tenant(TENANT);
    loop {
        let page = keys.list(&query).await.unwrap();
        all.extend(page.keys.into_iter().map(|key| (key.record.id().clone(), key)));
        let Some(next) = page.next else { return all };
        query = query.after(next);
    }
}

fn check(written: &Written, kept: &HashMap<KeyId, StoredKey>) {
    let Some(key) = kept.get(&written.id) else { panic!("{} is lost", written.id) };
    assert!(
        written.names.iter().any(|name| name == key.record.name()),
        "{:?}: {key:?}",
        written.names
    );
    let successor = key.record.successor();
    match &written.rotation {
        Rotation::Failed => {}
        Rotation::Acknowledged(id) => assert_eq!(successor, Some(id)),
    }
}
