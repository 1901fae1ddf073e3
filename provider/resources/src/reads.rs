//! Reads of many objects as few requests.
//!
//! A refresh reads every object by itself, ten at a time. The first read of a kind in a project is
//! a request of its own; with the second the whole kind is listed, in large pages, and what follows
//! is answered from that. Rules, so that nothing old is ever answered:
//!
//! - a list is a few seconds old at most, counted from before it was asked for;
//! - an object is answered once from a list, and never after this process wrote it;
//! - what a list does not have is asked for by itself: only the daemon says that something is gone.
//!
//! Nothing outlives the process, which the client starts anew for each plan and each apply.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reconciler_api::client::{Client, ClientError};
use reconciler_api::v1::{Kind, ListQuery, Object, PAGE_LIMIT_MAX, Pipeline};
use tokio::sync::Mutex as Turn;

use crate::session::Identity;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(5);

/// Pages of a list that are read at most; what is on later ones is asked for by itself.
const PAGES_MAX: usize = 20;

/// What was read in this process.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    collections: Mutex<HashMap<(Kind, String), Arc<Collection>>>,
    pipelines: Mutex<HashMap<String, Arc<Turn<Graph>>>>,
    refreshed: Mutex<HashSet<(Kind, String)>>,
}

/// The graph of one project, if it was read.
type Graph = Option<Aged<Arc<Pipeline>>>;

/// The objects of one kind in one project.
#[derive(Default)]
struct Collection {
    /// Whether one was asked for by itself.
    asked: Mutex<bool>,
    /// Who has the turn lists; the others wait for that.
    listed: Turn<Option<Aged<Objects>>>,
    written: Mutex<HashMap<String, Instant>>,
}

type Objects = HashMap<String, Box<dyn Any + Send + Sync>>;

/// Something, and when it was asked for.
#[derive(Debug)]
struct Aged<T> {
    since: Instant,
    it: T,
}

impl<T> Aged<T> {
    fn fresh(&mut self) -> Option<&mut T> {
        (self.since.elapsed() < FRESH).then_some(&mut self.it)
    }
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection").finish_non_exhaustive()
    }
}

impl Reads {
    fn collection(&self, kind: Kind, project: &str) -> Arc<Collection> {
        // All of what is in no project is one collection.
        let project = if kind.is_in_project() { project } else { "" };
        let mut collections = lock(&self.collections);
        Arc::clone(collections.entry((kind, project.to_owned())).or_default())
    }

    /// Reads an object, if it is there.
    pub(crate) async fn find<T: Object>(
        &self,
        api: &Client,
        identity: &Identity,
    ) -> Result<Option<T>, ClientError> {
        let Identity { project, name, .. } = identity;
        let collection = self.collection(T::KIND, project);
        if let Some(found) = collection.listed(api, project, name).await {
            return Ok(Some(found));
        }
        api.find(project, name).await
    }

    /// The graph of a project's stages.
    pub(crate) async fn pipeline(
        &self,
        api: &Client,
        project: &str,
    ) -> Result<Arc<Pipeline>, ClientError> {
        let turn = Arc::clone(lock(&self.pipelines).entry(project.to_owned()).or_default());
        let mut read = turn.lock().await;
        if let Some(pipeline) = read.as_mut().and_then(Aged::fresh) {
            return Ok(Arc::clone(pipeline));
        }
        let since = Instant::now();
        let it = Arc::new(api.pipeline(project).await?);
        *read = Some(Aged { since, it: Arc::clone(&it) });
        Ok(it)
    }

    /// Remembers that the client had this process read an object.
    pub(crate) fn refreshes(&self, identity: &Identity) {
        lock(&self.refreshed).insert((identity.kind, identity.to_string()));
    }

    /// Whether the client had this process read an object: it does so before it plans, unless it
    /// was told not to, and not when it plans once more while applying.
    pub(crate) fn has_refreshed(&self, identity: &Identity) -> bool {
        lock(&self.refreshed).contains(&(identity.kind, identity.to_string()))
    }

    /// Remembers that this process writes an object: what was read before is not answered again.
    pub(crate) fn writes(&self, identity: &Identity) {
        let Identity { kind, project, name } = identity;
        let collection = self.collection(*kind, project);
        lock(&collection.written).insert(name.clone(), Instant::now());
        lock(&self.pipelines).remove(project);
    }
}

impl Collection {
    /// An object from a list, unless it has to be asked for by itself.
    async fn listed<T: Object>(&self, api: &Client, project: &str, name: &str) -> Option<T> {
        if !std::mem::replace(&mut *lock(&self.asked), true) {
            return None;
        }
        let mut listed = self.listed.lock().await;
        if listed.as_mut().and_then(Aged::fresh).is_none() {
            let since = Instant::now();
            // Where the list cannot be read, each object says itself what is wrong.
            let it = list::<T>(api, project).await.unwrap_or_default();
            *listed = Some(Aged { since, it });
        }
        let listed = listed.as_mut()?;
        let written = lock(&self.written).get(name).copied();
        if written.is_some_and(|written| written >= listed.since) {
            return None;
        }
        listed.it.remove(name)?.downcast().ok().map(|found| *found)
    }
}

async fn list<T: Object>(api: &Client, project: &str) -> Result<Objects, ClientError> {
    let mut query = ListQuery { limit: Some(PAGE_LIMIT_MAX), page: None };
    let mut objects = Objects::new();
    for _ in 0..PAGES_MAX {
        let page = api.list::<T>(project, &query).await?;
        for object in page.items {
            objects.insert(object.meta().name.clone(), Box::new(object));
        }
        query.page = page.next;
        if query.page.is_none() {
            break;
        }
    }
    Ok(objects)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
