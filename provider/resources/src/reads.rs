//! Reads of many objects as few requests.
//!
//! A refresh reads every object by itself, ten at a time. The first read of a kind in a project is
//! a request of its own; with the second the whole kind is listed, in large pages, and what follows
//! is answered from that. Rules, so that nothing old is ever answered:
//!
//! - a list was asked for a few seconds at most before whoever is answered from it asked;
//! - an object is answered once from a list, and never after this process wrote it;
//! - a list that takes long is not asked for again: objects are then read one by one, side by side;
//! - what a list does not have is asked for by itself: only the daemon says that something is gone.
//!
//! Nothing outlives the process, which the client starts anew for each plan and each apply.

use std::any::Any;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reconciler_api::client::{Client, ClientError};
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{Kind, ListQuery, Object, PAGE_LIMIT_MAX, Pipeline};
use tokio::sync::Mutex as Turn;

use crate::session::Identity;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(5);

/// A list that takes longer is slow: waiting for another one in turn costs more than it spares.
const SLOW: Duration = Duration::from_millis(2_500);

/// Pages of a list that are read at most; what is on later ones is asked for by itself.
const PAGES_MAX: usize = 20;

/// What was read in this process.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    collections: Mutex<HashMap<OfKind, Arc<Collection>>>,
    pipelines: Mutex<HashMap<String, Arc<Question<Pipeline>>>>,
    names: Mutex<HashMap<OfKind, Arc<Question<Names>>>>,
    refreshed: Mutex<HashSet<OfKind>>,
}

/// The objects of one kind in one project.
#[derive(Default)]
struct Collection {
    /// Whether one was asked for by itself.
    asked: Mutex<bool>,
    /// Who has the turn lists; the others wait for that.
    listed: Turn<Option<Aged<Listed>>>,
    written: Mutex<HashMap<String, Instant>>,
}

/// A kind, and the project or the object that it is about.
type OfKind = (Kind, String);

/// The names of the objects of a kind.
type Names = BTreeSet<String>;

type Objects = HashMap<String, Box<dyn Any + Send + Sync>>;

/// A list of objects; empty if it could not be read.
struct Listed {
    objects: Objects,
    /// Whether it took long, or could not be read.
    slow: bool,
}

/// A question that many ask: who has the turn asks the daemon, the others wait for that.
#[derive(Debug)]
struct Question<T>(Turn<Option<Aged<Option<Arc<T>>>>>);

impl<T> Default for Question<T> {
    fn default() -> Self {
        Self(Turn::default())
    }
}

impl<T> Question<T> {
    /// The answer; none if another got none just now.
    async fn answer(
        &self,
        ask: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<Option<Arc<T>>, ClientError> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.answers(asked)) {
            return Ok(last.it.clone());
        }
        let since = Instant::now();
        let answer = ask.await.map(Arc::new);
        *last = Some(Aged { since, it: answer.as_ref().ok().cloned() });
        answer.map(Some)
    }
}

/// Something, and when it was asked for.
#[derive(Debug)]
struct Aged<T> {
    since: Instant,
    it: T,
}

impl<T> Aged<T> {
    /// Whether it answers what was asked at an instant. How long it took to come does not count:
    /// whoever asked meanwhile waited for it.
    fn answers(&self, asked: Instant) -> bool {
        asked.saturating_duration_since(self.since) < FRESH
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
        let take = |list: &mut Objects| list.remove(name)?.downcast::<T>().ok();
        if let Some(found) = collection.listed::<T, _>(api, identity, take).await {
            return Ok(Some(*found));
        }
        api.find(project, name).await
    }

    /// Reads an object, if it is there, for something else that is about it: whoever reads the object
    /// itself still finds it in the list.
    pub(crate) async fn see<T: Object + Clone>(
        &self,
        api: &Client,
        identity: &Identity,
    ) -> Result<Option<T>, ClientError> {
        let Identity { project, name, .. } = identity;
        let collection = self.collection(T::KIND, project);
        let see = |list: &mut Objects| list.get(name)?.downcast_ref::<T>().cloned();
        match collection.listed::<T, _>(api, identity, see).await {
            Some(found) => Ok(Some(found)),
            None => api.find(project, name).await,
        }
    }

    /// The graph of a project's stages; none if another could not read it just now.
    pub(crate) async fn pipeline(
        &self,
        api: &Client,
        project: &str,
    ) -> Result<Option<Arc<Pipeline>>, ClientError> {
        let question = Arc::clone(lock(&self.pipelines).entry(project.to_owned()).or_default());
        question.answer(api.pipeline(project)).await
    }

    /// The names of the live objects of a kind; none if another could not read them just now.
    pub(crate) async fn names<T: Object>(
        &self,
        api: &Client,
        project: &str,
    ) -> Result<Option<Arc<Names>>, ClientError> {
        let key = (T::KIND, project.to_owned());
        let question = Arc::clone(lock(&self.names).entry(key).or_default());
        let names = async {
            match api.list_all::<T>(project).await {
                Ok(objects) => Ok(objects.iter().map(|it| it.meta().name.clone()).collect()),
                // In a project that is still to be made there is nothing.
                Err(error) if error.code() == Some(ProblemCode::NotFound) => Ok(Names::new()),
                Err(error) => Err(error),
            }
        };
        question.answer(names).await
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
        lock(&self.names).remove(&(*kind, project.clone()));
    }
}

impl Collection {
    /// What `pick` finds in a list, unless the object has to be asked for by itself.
    async fn listed<T: Object, P>(
        &self,
        api: &Client,
        Identity { project, name, .. }: &Identity,
        pick: impl FnOnce(&mut Objects) -> Option<P>,
    ) -> Option<P> {
        let asked = Instant::now();
        if !std::mem::replace(&mut *lock(&self.asked), true) {
            return None;
        }
        let mut turn = self.listed.lock().await;
        if !turn.as_ref().is_some_and(|listed| listed.answers(asked)) {
            if turn.as_ref().is_some_and(|listed| listed.it.slow) {
                return None;
            }
            let since = Instant::now();
            let objects = list::<T>(api, project).await;
            let slow = objects.is_err() || since.elapsed() > SLOW;
            // Where the list cannot be read, each object says itself what is wrong.
            let objects = objects.unwrap_or_default();
            *turn = Some(Aged { since, it: Listed { objects, slow } });
        }
        let listed = turn.as_mut()?;
        let written = lock(&self.written).get(name).copied();
        if written.is_some_and(|written| written >= listed.since) {
            return None;
        }
        pick(&mut listed.it.objects)
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
