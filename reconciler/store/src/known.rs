//! All definitions of a project at once, for whoever checks one against the others. They are parsed
//! once for each time that one of them changes: a run that writes a thousand would otherwise parse
//! a million.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use reconciler_domain::credential::Credential;
use reconciler_domain::id::ProjectName;
use reconciler_domain::policy::Policy;
use reconciler_domain::snapshot::{Defined, Definitions};
use reconciler_domain::stage::Stage;
use reconciler_domain::task::Task;
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::Warehouse;

use crate::Store;
use crate::counter::{DefinitionsRevision, definitions_revision};
use crate::definition::{self, Definition};
use crate::error::{StoreError, Unreadable};
use crate::sql::Sql;

/// Projects whose definitions are kept in memory at most.
const KEPT_MAX: usize = 100;

/// The definitions of a project as of one moment.
#[derive(Debug, PartialEq)]
pub struct KnownDefinitions {
    /// Their revision at that moment.
    pub revision: DefinitionsRevision,
    /// What was there.
    pub value: Arc<Definitions>,
    /// What could not be read and was left out.
    pub unreadable: Vec<Unreadable>,
}

/// The definitions that were read last, by project.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<ProjectName, Arc<KnownDefinitions>>>);

impl Known {
    fn at(
        &self,
        project: &ProjectName,
        revision: DefinitionsRevision,
    ) -> Option<Arc<KnownDefinitions>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(project).filter(|kept| kept.revision == revision).map(Arc::clone)
    }

    fn keep(&self, project: &ProjectName, read: &Arc<KnownDefinitions>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX && !kept.contains_key(project) {
            kept.clear();
        }
        // Two readers may end in another order than they began: the newer one stays.
        let newer = kept.get(project).is_some_and(|kept| kept.revision > read.revision);
        if !newer {
            kept.insert(project.clone(), Arc::clone(read));
        }
    }
}

impl Store {
    /// Every definition of a project but holds, as of one moment. Those that cannot be read are left
    /// out and named.
    ///
    /// # Errors
    /// The database failed.
    pub async fn definitions(
        &self,
        project: &ProjectName,
    ) -> Result<Option<Arc<KnownDefinitions>>, StoreError> {
        let (project, known) = (project.clone(), Arc::clone(&self.known));
        self.read(move |sql| definitions(sql, &project, &known)).await
    }
}

fn definitions(
    sql: Sql<'_>,
    project: &ProjectName,
    known: &Known,
) -> Result<Option<Arc<KnownDefinitions>>, StoreError> {
    if !definition::project_exists(sql, project)? {
        return Ok(None);
    }
    let revision = definitions_revision(sql, project)?;
    if let Some(kept) = known.at(project, revision) {
        return Ok(Some(kept));
    }
    let mut unreadable: Vec<Unreadable> = Vec::new();
    let mut readable = Readable { sql, project, unreadable: &mut unreadable };
    let value = Arc::new(Definitions {
        warehouses: readable.by(|spec: &Warehouse| spec.name.clone())?,
        stages: readable.by(|spec: &Stage| spec.name.clone())?,
        verifications: readable.by(|spec: &Verification| spec.name.clone())?,
        tasks: readable.by(|spec: &Task| spec.name.clone())?,
        policies: readable.by(|spec: &Policy| spec.name.clone())?.into_values().collect(),
        credentials: readable.by(|spec: &Credential| spec.name.clone())?,
    });
    let read = Arc::new(KnownDefinitions { revision, value, unreadable });
    known.keep(project, &read);
    Ok(Some(read))
}

/// Collects what can be read and names the rest.
struct Readable<'a> {
    sql: Sql<'a>,
    project: &'a ProjectName,
    unreadable: &'a mut Vec<Unreadable>,
}

impl Readable<'_> {
    fn by<T: Definition, K: Ord>(
        &mut self,
        key: impl Fn(&T) -> K,
    ) -> Result<BTreeMap<K, Defined<T>>, StoreError> {
        let listed = definition::list::<T>(self.sql, self.project)?;
        self.unreadable.extend(listed.unreadable);
        Ok(listed.items.into_iter().map(|item| (key(&item.spec), item.defined())).collect())
    }
}
