//! Policies. A policy that comes, changes, is renamed or goes wakes every stage that it selects or
//! selected, and their promotions that are not over. When that last happened is kept per stage: a
//! policy that is gone leaves no other trace, and automation waits after it all the same.

use jiff::Timestamp;
use reconciler_domain::id::{PolicyName, ProjectName, StageName};
use reconciler_domain::policy::{Across, Mode, Policy, Rate};
use rusqlite::params;
use serde::Deserialize;
use serde_json::json;

use crate::Store;
use crate::definition::{
    self, Before, Change, Definition, DefinitionRow, DeleteError, Kind, Outcome, Put, PutError,
    Refused, RenameError, Rows, Stored,
};
use crate::error::{StoreError, Unreadable};
use crate::ledger::Subject;
use crate::page::Listed;
use crate::sql::{Sql, json, micros, signed, whole_micros};
use crate::wake::wake_stage;
use crate::writer::Write;

impl Definition for Policy {
    const KIND: Kind = Kind::Policy;

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn subject(&self) -> Subject {
        Subject::Policy(self.name.clone())
    }
}

impl Store {
    /// Makes or changes a policy.
    ///
    /// # Errors
    /// No such project, the precondition does not hold, or the database failed.
    pub async fn put_policy(
        &self,
        project: &ProjectName,
        spec: &Policy,
        change: &Change,
    ) -> Result<Put<Policy>, PutError> {
        let (project, spec, change) = (project.clone(), spec.clone(), change.clone());
        self.write(move |write| {
            let (put, before) = definition::put(write, &project, &spec, &change)?;
            if put.outcome != Outcome::Unchanged {
                changed(write, &project, &before, Some(&spec), &change)?;
            }
            Ok(put)
        })
        .await
    }

    /// A policy.
    ///
    /// # Errors
    /// It cannot be read, or the database failed.
    pub async fn get_policy(
        &self,
        project: &ProjectName,
        name: &PolicyName,
    ) -> Result<Option<Stored<Policy>>, StoreError> {
        let (project, name) = (project.clone(), name.clone());
        self.read(move |sql| definition::get(sql, &project, name.as_str())).await
    }

    /// Every policy of a project, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_policies(
        &self,
        project: &ProjectName,
    ) -> Result<Listed<Stored<Policy>>, StoreError> {
        let project = project.clone();
        self.read(move |sql| definition::list(sql, &project)).await
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// It is not there, was changed, or the database failed.
    pub async fn delete_policy(
        &self,
        project: &ProjectName,
        name: &PolicyName,
        change: &Change,
    ) -> Result<(), DeleteError> {
        let (project, name, change) = (project.clone(), name.clone(), change.clone());
        self.write(move |write| {
            let (text, subject) = (name.as_str(), Subject::Policy(name.clone()));
            let before =
                definition::delete::<Policy>(write, &project, text, subject, &change, Vec::new())?;
            changed(write, &project, &before, None, &change)?;
            Ok(())
        })
        .await
    }

    /// Gives a policy another name, in place: at no moment is there none.
    ///
    /// # Errors
    /// It is not there or cannot be read, the name is taken, it was changed, or the database failed.
    pub async fn rename_policy(
        &self,
        project: &ProjectName,
        from: &PolicyName,
        to: &PolicyName,
        change: &Change,
    ) -> Result<Stored<Policy>, RenameError> {
        let (project, from, to, change) =
            (project.clone(), from.clone(), to.clone(), change.clone());
        self.write(move |write| rename(write, &project, &from, &to, &change)).await
    }
}

fn rename(
    write: &mut Write<'_>,
    project: &ProjectName,
    from: &PolicyName,
    to: &PolicyName,
    change: &Change,
) -> Result<Stored<Policy>, RenameError> {
    let refuse = |refused: Refused, name: &PolicyName| refused.rename("policy", name.to_string());
    let there = definition::row(write.sql, project, Kind::Policy, from.as_str())?;
    let Some(there) = there else { return Err(refuse(Refused::NotFound, from)) };
    definition::check_change(write.sql, project, &there, change).map_err(|r| refuse(r, from))?;
    let mut stored: Stored<Policy> = there.stored(project).map_err(StoreError::from)?;
    if from == to {
        return Ok(stored);
    }
    if definition::row(write.sql, project, Kind::Policy, to.as_str())?.is_some() {
        return Err(RenameError::AlreadyExists { what: "policy", name: to.to_string() });
    }
    definition::retire(write, project, Kind::Policy, &there)?;
    let retired = definition::retired_generation(write.sql, project, Kind::Policy, to.as_str())?;
    stored.spec.name = to.clone();
    stored.generation = stored.generation.max(retired) + 1;
    stored.changed_at = whole_micros(change.at);
    stored.changed_by = change.by.clone();
    write.sql.execute(
        "UPDATE definition SET name = $1, spec = $2, generation = $3, changed_at = $4, \
         changed_by = $5 WHERE project = $6 AND kind = 'policy' AND name = $7",
        params![
            to.as_str(),
            json(&stored.spec),
            signed(stored.generation),
            micros(change.at),
            json(&change.by),
            project.as_str(),
            from.as_str()
        ],
    )?;
    let body = json!({ "generation": stored.generation, "from": from, "to": to });
    definition::record(write, project, &stored.spec, "renamed", change, body)?;
    changed(write, project, &Before::Nothing, Some(&stored.spec), change)?;
    Ok(stored)
}

/// Notes the change at every stage that the policy selects or selected, and wakes it.
fn changed(
    write: &mut Write<'_>,
    project: &ProjectName,
    before: &Before<Policy>,
    after: Option<&Policy>,
    change: &Change,
) -> Result<(), StoreError> {
    for row in definition::rows(write.sql, project, Kind::Stage)? {
        let Ok(stage) = row.name.parse::<StageName>() else { continue };
        let selected = match before {
            Before::Nothing => false,
            Before::Unreadable => true,
            Before::Spec(before) => before.selects(&stage),
        };
        if !selected && !after.is_some_and(|after| after.selects(&stage)) {
            continue;
        }
        write.sql.execute(
            "INSERT INTO policy_change (project, stage, changed_at) VALUES ($1, $2, $3) \
             ON CONFLICT (project, stage) DO UPDATE SET changed_at = excluded.changed_at",
            params![project.as_str(), stage.as_str(), micros(change.at)],
        )?;
        wake_stage(write, project, &stage, change.at)?;
    }
    Ok(())
}

/// The policies for a decision about a stage.
///
/// A policy that cannot be read is an error for the stages that it selects, or might: without it a
/// gate would be open that someone closed. For other stages it is left out and named.
pub(crate) fn policies_for(
    rows: &Rows<Policy>,
    stage: &StageName,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<Stored<Policy>>, Unreadable> {
    let mut policies = Vec::new();
    for (row, policy) in rows.iter() {
        match policy {
            Ok(policy) => policies.push(policy.clone()),
            Err(error) if might_select(row, stage) => return Err(error.clone()),
            Err(error) => unreadable.push(error.clone()),
        }
    }
    Ok(policies)
}

fn might_select(row: &DefinitionRow, stage: &StageName) -> bool {
    #[derive(Deserialize)]
    struct Selector {
        stages: Vec<String>,
    }
    let (Ok(name), Ok(selector)) = (row.name.parse(), serde_json::from_str::<Selector>(&row.spec))
    else {
        return true;
    };
    Policy::new(name, Mode::Manual, selector.stages).selects(stage)
}

/// Wakes the stages whose promotions may wait for one to this stage to end: some policy limits how
/// many are under way in all of them.
pub(crate) fn wake_limited(
    write: &mut Write<'_>,
    project: &ProjectName,
    stage: &StageName,
    at: Timestamp,
) -> Result<(), StoreError> {
    let limits = |rate: &Rate| rate.concurrent.is_some() && rate.across == Across::Policy;
    let mut limiting = Vec::new();
    for row in definition::rows(write.sql, project, Kind::Policy)? {
        // A policy that cannot be read is told where a stage is decided about.
        let Ok(policy) = row.stored::<Policy>(project) else { continue };
        if policy.spec.rates.iter().any(limits) && policy.spec.selects(stage) {
            limiting.push(policy.spec);
        }
    }
    if limiting.is_empty() {
        return Ok(());
    }
    for row in definition::rows(write.sql, project, Kind::Stage)? {
        let Ok(other) = row.name.parse::<StageName>() else { continue };
        if other != *stage && limiting.iter().any(|policy| policy.selects(&other)) {
            wake_stage(write, project, &other, at)?;
        }
    }
    Ok(())
}

/// When a policy that selects or selected the stage last came, changed or went.
pub(crate) fn last_change(
    sql: Sql<'_>,
    project: &ProjectName,
    stage: &StageName,
) -> Result<Option<i64>, StoreError> {
    sql.row(
        "SELECT changed_at FROM policy_change WHERE project = $1 AND stage = $2",
        params![project.as_str(), stage.as_str()],
        |row| row.get(0),
    )
}
