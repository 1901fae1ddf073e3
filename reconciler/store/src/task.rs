//! Tasks. A change wakes the stages that use the task, by themselves or through another task.

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, TaskName};
use reconciler_domain::task::{Task, task_of, used};

use crate::Store;
use crate::definition::{
    self, Change, Definition, DeleteError, Kind, Outcome, Put, PutError, Stored,
};
use crate::error::StoreError;
use crate::ledger::Subject;
use crate::page::Listed;
use crate::wake::wake_users;
use crate::writer::Write;

impl Definition for Task {
    const KIND: Kind = Kind::Task;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Task(self.name.clone())
    }
}

impl Store {
    /// Makes or changes a task.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_task(
        &self,
        project: &ProjectName,
        spec: &Task,
        change: &Change,
    ) -> Result<Put<Task>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| {
            let (put, _) = definition::put(write, &project, &spec, &change)?;
            if put.outcome != Outcome::Unchanged {
                wake_stages(write, &project, &spec.name, change.at)?;
            }
            Ok(put)
        })
        .await
    }

    /// A task.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_task(
        &self,
        project: &ProjectName,
        name: &TaskName,
    ) -> Result<Option<Stored<Task>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every task of a project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_tasks(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Task>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Deletes a task that no stage and no other task uses.
    ///
    /// # Errors
    /// It is not there, used by stages, was changed, or the database failed.
    pub async fn delete_task(
        &self,
        project: &ProjectName,
        name: &TaskName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| delete(write, &project, &name, &change)).await
    }
}

fn delete(
    write: &mut Write<'_>,
    project: &ProjectName,
    name: &TaskName,
    change: &Change,
) -> Result<(), DeleteError> {
    let stages = crate::stage::users(write.sql, project, Kind::Task, name.as_str())?;
    let mut needed_by: Vec<String> = stages.iter().map(|stage| format!("stage {stage}")).collect();
    let uses = |other: &Task| other.steps.iter().filter_map(task_of).any(|t| t == name.as_str());
    let tasks = definition::list::<Task>(write.sql, project)?.items;
    let others = tasks.iter().map(|task| &task.spec).filter(|other| other.name != *name);
    needed_by.extend(others.filter(|other| uses(other)).map(|task| format!("task {}", task.name)));
    let subject = Subject::Task(name.clone());
    definition::delete::<Task>(write, project, name.as_str(), subject, change, needed_by)?;
    Ok(())
}

/// Wakes the stages that use a task, by themselves or through another task.
fn wake_stages(
    write: &mut Write<'_>,
    project: &ProjectName,
    changed: &TaskName,
    at: Timestamp,
) -> Result<(), StoreError> {
    let tasks = definition::list::<Task>(write.sql, project)?.items;
    let find =
        |name: &str| tasks.iter().map(|task| &task.spec).find(|task| task.name.as_str() == name);
    for task in tasks.iter().map(|task| &task.spec) {
        let through = || used(&task.steps, find).iter().any(|used| used.name == *changed);
        if task.name == *changed || through() {
            wake_users(write, project, Kind::Task, task.name.as_str(), at)?;
        }
    }
    Ok(())
}
