//! The operations as methods, by noun.

use std::time::Duration;

use super::{Call, Client, ClientError};
use crate::problem::ProblemCode;
use crate::v1::{
    AbortPromotion, AccessToken, AnswerStep, ApprovePromotion, CreateAccessToken, CreatePromotion,
    CreatedAccessToken, EventsQuery, Evidence, Explain, Forecast, ForecastQuery, Freight,
    FreightApproval, FreightQuery, FullPlan, Health, Kind, LiftHold, ListQuery, MintToken, Object,
    PAGE_LIMIT_MAX, PREVIEW_TIME_MAX, Page, Pipeline, Policy, Precondition, Preview,
    PreviewRequest, PreviewSet, PromoteDownstream, Promotion, PromotionEvent, PromotionQuery,
    RenamePolicy, RenewToken, Rerun, Reverify, ServerVersion, SigningKeys, Stage, StageDrift,
    StartedDownstream, TokenQuery, Warehouse, Whoami,
};

/// The path of one object.
fn object_path<'a>(kind: Kind, project: &'a str, name: &'a str) -> Vec<&'a str> {
    let mut path = collection_path(kind, project);
    path.push(name);
    path
}

fn collection_path(kind: Kind, project: &str) -> Vec<&str> {
    if kind.is_in_project() {
        vec!["v1", "projects", project, kind.collection()]
    } else {
        vec!["v1", kind.collection()]
    }
}

/// Objects that clients define. Of what is in no project, `project` is not looked at: `name` alone
/// names it. Every method fails as [`ClientError`] says.
impl Client {
    /// Reads an object.
    ///
    /// # Errors
    ///
    /// `not_found` if there is none.
    pub async fn get<T: Object>(&self, project: &str, name: &str) -> Result<T, ClientError> {
        self.answer(Call::get(&object_path(T::KIND, project, name))).await
    }

    /// Reads an object, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Client::get`], except that an absent object is no error.
    pub async fn find<T: Object>(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<T>, ClientError> {
        match self.get(project, name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(ProblemCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads one page of a kind's objects, by name.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such project.
    pub async fn list<T: Object>(
        &self,
        project: &str,
        query: &ListQuery,
    ) -> Result<Page<T>, ClientError> {
        self.answer(Call::get(&collection_path(T::KIND, project)).query(query)).await
    }

    /// Reads all of a kind's objects, page by page, by name.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub async fn list_all<T: Object>(&self, project: &str) -> Result<Vec<T>, ClientError> {
        let mut query = ListQuery { limit: Some(PAGE_LIMIT_MAX), page: None };
        let mut items = Vec::new();
        loop {
            let page = self.list(project, &query).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => query.page = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// Defines an object.
    ///
    /// # Errors
    ///
    /// `invalid` with every field that is wrong; `already_exists` or `generation_conflict` if the
    /// precondition does not hold.
    pub async fn put<T: Object>(
        &self,
        project: &str,
        name: &str,
        spec: &T::Spec,
        precondition: Precondition,
    ) -> Result<T, ClientError> {
        let path = object_path(T::KIND, project, name);
        self.answer(Call::put(&path).body(spec).precondition(precondition)).await
    }

    /// Removes an object.
    ///
    /// # Errors
    ///
    /// `not_found`, `generation_conflict`, and `in_use` or `promotion_running` with what stands in
    /// the way.
    pub async fn delete(
        &self,
        kind: Kind,
        project: &str,
        name: &str,
        precondition: Precondition,
    ) -> Result<(), ClientError> {
        let path = object_path(kind, project, name);
        self.no_answer(Call::delete(&path).precondition(precondition)).await
    }

    /// Renames a policy in place; no gate opens meanwhile.
    ///
    /// # Errors
    ///
    /// `not_found`, `already_exists`, `generation_conflict`.
    pub async fn rename_policy(
        &self,
        project: &str,
        name: &str,
        to: &str,
        precondition: Precondition,
    ) -> Result<Policy, ClientError> {
        let path = ["v1", "projects", project, "policies", name, "rename"];
        let rename = RenamePolicy { to: to.to_owned() };
        self.answer(Call::post(&path).body(&rename).precondition(precondition)).await
    }

    /// Has the sources of a warehouse asked now. The answer does not wait for them.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn refresh_warehouse(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Warehouse, ClientError> {
        let path = ["v1", "projects", project, "warehouses", name, "refresh"];
        self.answer(Call::post(&path).repeatable()).await
    }

    /// Asks what a change of one definition would do to live freight.
    ///
    /// # Errors
    ///
    /// `preview_expired` if the token's state of the world is no longer kept. A definition that
    /// cannot stand is no error here: [`Preview::problems`] says why.
    pub async fn preview(
        &self,
        project: &str,
        request: &PreviewRequest,
    ) -> Result<Preview, ClientError> {
        let path = ["v1", "projects", project, "preview"];
        self.answer(Call::post(&path).body(request).repeatable().waiting(PREVIEW_TIME_MAX)).await
    }

    /// Asks what several changes would do together, and what they would have done in the past.
    ///
    /// # Errors
    ///
    /// `malformed` for changes that are too many or not of different objects. Definitions that
    /// cannot stand are no error here: [`Preview::problems`] says why.
    pub async fn preview_set(
        &self,
        project: &str,
        set: &PreviewSet,
    ) -> Result<Preview, ClientError> {
        let path = ["v1", "projects", project, "preview"];
        self.answer(Call::post(&path).body(set).repeatable().waiting(PREVIEW_TIME_MAX)).await
    }

    /// Reads the graph of a project's stages.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn pipeline(&self, project: &str) -> Result<Pipeline, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "pipeline"])).await
    }

    /// Says why a stage does or does not get freight.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn explain(&self, project: &str, stage: &str) -> Result<Explain, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "stages", stage, "explain"])).await
    }

    /// Reads when a freight can be in a stage at the earliest; the freight by its id or a unique
    /// beginning of it.
    ///
    /// # Errors
    ///
    /// `not_found`, `ambiguous_freight`.
    pub async fn forecast(
        &self,
        project: &str,
        stage: &str,
        freight: &str,
    ) -> Result<Forecast, ClientError> {
        let query = ForecastQuery { freight: freight.to_owned() };
        let path = ["v1", "projects", project, "stages", stage, "forecast"];
        self.answer(Call::get(&path).query(&query)).await
    }

    /// Has what is in a stage verified anew; answers with the promotion that brought it, which goes on.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such stage or nothing in it, `wrong_phase` if what is there did not
    /// come to its end, `promotion_running` while the stage changes, `invalid` if it has no
    /// verification.
    pub async fn reverify_stage(
        &self,
        project: &str,
        stage: &str,
        reverify: &Reverify,
    ) -> Result<Promotion, ClientError> {
        let path = ["v1", "projects", project, "stages", stage, "reverify"];
        self.answer(Call::post(&path).body(reverify)).await
    }

    /// What differs in the infra of each stage with steps, by name.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn drift(&self, project: &str) -> Result<Vec<StageDrift>, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "drift"])).await
    }

    /// What differs in the infra of a stage.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn stage_drift(&self, project: &str, stage: &str) -> Result<StageDrift, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "stages", stage, "drift"])).await
    }

    /// Has the infra of a stage looked at now. What is found is there once [`StageDrift::asked`] is false again.
    ///
    /// # Errors
    ///
    /// `not_found`, or `wrong_phase` if no promotion applied infra there.
    pub async fn look_for_drift(
        &self,
        project: &str,
        stage: &str,
    ) -> Result<StageDrift, ClientError> {
        let path = ["v1", "projects", project, "stages", stage, "drift"];
        self.answer(Call::post(&path).repeatable()).await
    }

    /// Lifts the automatic hold of a stage: automation goes on there.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such stage or nothing to lift, `invalid` without a reason.
    pub async fn lift_stage_hold(
        &self,
        project: &str,
        stage: &str,
        lift: &LiftHold,
    ) -> Result<Stage, ClientError> {
        let path = ["v1", "projects", project, "stages", stage, "lift"];
        self.answer(Call::post(&path).body(lift)).await
    }
}

/// Freight.
impl Client {
    /// Reads a freight by its id, or a unique beginning of it.
    ///
    /// # Errors
    ///
    /// `not_found`, or `ambiguous_freight` with the ids that fit.
    pub async fn freight(&self, project: &str, freight: &str) -> Result<Freight, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "freight", freight])).await
    }

    /// Reads one page of freight, newest first.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such project, warehouse or stage.
    pub async fn list_freight(
        &self,
        project: &str,
        query: &FreightQuery,
    ) -> Result<Page<Freight>, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "freight"]).query(query)).await
    }

    /// Makes freight available to a stage past its upstream.
    ///
    /// # Errors
    ///
    /// `not_found`, `ambiguous_freight`, `forbidden`, `invalid` without a reason.
    pub async fn approve_freight(
        &self,
        project: &str,
        freight: &str,
        approval: &FreightApproval,
    ) -> Result<Freight, ClientError> {
        let path = ["v1", "projects", project, "freight", freight, "approve"];
        self.answer(Call::post(&path).body(approval)).await
    }
}

/// Promotions.
impl Client {
    /// Reads a promotion.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn promotion(&self, project: &str, id: &str) -> Result<Promotion, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "promotions", id])).await
    }

    /// Reads an infrastructure plan in full: that of a step, or of the undo of an apply.
    ///
    /// # Errors
    ///
    /// `not_found` where there is no such promotion, or it made no such plan, beside what every call may fail with.
    pub async fn plan(&self, project: &str, id: &str, step: &str) -> Result<FullPlan, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "promotions", id, "plans", step])).await
    }

    /// Reads what people agreed to, signed.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn evidence(&self, project: &str, id: &str) -> Result<Evidence, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "promotions", id, "evidence"])).await
    }

    /// Reads the keys under which signed statements hold.
    ///
    /// # Errors
    ///
    /// Only what every call may fail with.
    pub async fn signing_keys(&self) -> Result<SigningKeys, ClientError> {
        self.answer(Call::get(&["v1", "keys"])).await
    }

    /// Reads one page of promotions, newest first, without patches.
    ///
    /// # Errors
    ///
    /// `not_found` if there is no such project or stage.
    pub async fn list_promotions(
        &self,
        project: &str,
        query: &PromotionQuery,
    ) -> Result<Page<Promotion>, ClientError> {
        self.answer(Call::get(&["v1", "projects", project, "promotions"]).query(query)).await
    }

    /// Asks for a promotion.
    ///
    /// # Errors
    ///
    /// `not_found`, `ambiguous_freight`, `freight_unavailable`, `held`, `promotion_running` unless
    /// it is to be ensured, `forbidden` for a bypass that no policy grants.
    pub async fn promote(
        &self,
        project: &str,
        promotion: &CreatePromotion,
    ) -> Result<Promotion, ClientError> {
        let call = Call::post(&["v1", "projects", project, "promotions"]).body(promotion);
        self.answer(if promotion.ensure { call.repeatable() } else { call }).await
    }

    /// Promotes once more what a promotion that is over had brought.
    ///
    /// # Errors
    ///
    /// `not_found`, `wrong_phase` while it goes on, and as [`Client::promote`].
    pub async fn rerun(
        &self,
        project: &str,
        id: &str,
        rerun: &Rerun,
    ) -> Result<Promotion, ClientError> {
        let path = ["v1", "projects", project, "promotions", id, "rerun"];
        self.answer(Call::post(&path).body(rerun)).await
    }

    /// Promotes what is in a stage to every stage that takes freight from it; answers what came of each.
    ///
    /// # Errors
    ///
    /// `not_found`, `ambiguous_freight`, `invalid` if nothing takes freight from the stage, or if it holds
    /// several and none is named.
    pub async fn promote_downstream(
        &self,
        project: &str,
        stage: &str,
        wish: &PromoteDownstream,
    ) -> Result<Vec<StartedDownstream>, ClientError> {
        let path = ["v1", "projects", project, "stages", stage, "downstream"];
        self.answer(Call::post(&path).body(wish)).await
    }

    /// Approves what a promotion will do.
    ///
    /// # Errors
    ///
    /// `not_found`, `digest_mismatch`, `wrong_phase`, `forbidden`.
    pub async fn approve(
        &self,
        project: &str,
        id: &str,
        approval: &ApprovePromotion,
    ) -> Result<Promotion, ClientError> {
        let path = ["v1", "projects", project, "promotions", id, "approve"];
        self.answer(Call::post(&path).body(approval)).await
    }

    /// Answers what a step of a promotion asks.
    ///
    /// # Errors
    ///
    /// `not_found`, `digest_mismatch`, `wrong_phase`, `forbidden`, `invalid`, `already_exists`.
    pub async fn answer_step(
        &self,
        project: &str,
        id: &str,
        step: &str,
        answer: &AnswerStep,
    ) -> Result<Promotion, ClientError> {
        let path = ["v1", "projects", project, "promotions", id, "steps", step, "answer"];
        self.answer(Call::post(&path).body(answer)).await
    }

    /// Ends a promotion.
    ///
    /// # Errors
    ///
    /// `not_found`, `wrong_phase`.
    pub async fn abort(
        &self,
        project: &str,
        id: &str,
        abort: &AbortPromotion,
    ) -> Result<Promotion, ClientError> {
        let path = ["v1", "projects", project, "promotions", id, "abort"];
        self.answer(Call::post(&path).body(abort)).await
    }

    /// Reads what happened to a promotion, in order; waits for it if nothing did.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn promotion_events(
        &self,
        project: &str,
        id: &str,
        query: &EventsQuery,
    ) -> Result<Vec<PromotionEvent>, ClientError> {
        let path = ["v1", "projects", project, "promotions", id, "events"];
        let wait = Duration::from_secs(query.wait.unwrap_or(0).into());
        self.answer(Call::get(&path).query(query).waiting(wait)).await
    }
}

/// Tokens and the daemon itself.
impl Client {
    /// Says who the bearer of the sent token is.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unauthorized`] if the token is not accepted.
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        self.answer(Call::get(&["v1", "whoami"])).await
    }

    /// Reads one page of tokens, without their secrets.
    ///
    /// # Errors
    ///
    /// `forbidden` without an admin token.
    pub async fn list_tokens(&self, query: &TokenQuery) -> Result<Page<AccessToken>, ClientError> {
        self.answer(Call::get(&["v1", "tokens"]).query(query)).await
    }

    /// Creates a token; only this answer ever holds its secret.
    ///
    /// # Errors
    ///
    /// `forbidden` without an admin token, `invalid` for a bad name or an expiry in the past.
    pub async fn create_token(
        &self,
        token: &CreateAccessToken,
    ) -> Result<CreatedAccessToken, ClientError> {
        self.answer(Call::post(&["v1", "tokens"]).body(token)).await
    }

    /// Gives a token another secret, which only this answer ever holds. The one before works no
    /// longer.
    ///
    /// # Errors
    ///
    /// `forbidden` without an admin token, `not_found`.
    pub async fn rotate_token(&self, name: &str) -> Result<CreatedAccessToken, ClientError> {
        self.answer(Call::post(&["v1", "tokens", name, "rotate"])).await
    }

    /// Makes a token stop working, and with it all that were minted from it.
    ///
    /// # Errors
    ///
    /// `forbidden` without an admin token, `not_found`.
    pub async fn revoke_token(&self, name: &str) -> Result<(), ClientError> {
        self.no_answer(Call::delete(&["v1", "tokens", name])).await
    }

    /// Mints a token that acts as the caller for a short time.
    ///
    /// # Errors
    ///
    /// `invalid` if more is wished than the caller has.
    pub async fn mint_token(&self, wish: &MintToken) -> Result<CreatedAccessToken, ClientError> {
        self.answer(Call::post(&["v1", "whoami", "tokens"]).body(wish)).await
    }

    /// Lets a token that the caller minted last longer.
    ///
    /// # Errors
    ///
    /// `not_found` if the caller's token minted none of this name, or it is over.
    pub async fn renew_token(
        &self,
        name: &str,
        renew: &RenewToken,
    ) -> Result<AccessToken, ClientError> {
        let path = ["v1", "whoami", "tokens", name, "renew"];
        self.answer(Call::post(&path).body(renew).repeatable()).await
    }

    /// Ends a token that the caller minted.
    ///
    /// # Errors
    ///
    /// `not_found` if the caller's token minted none of this name, or it is over.
    pub async fn end_token(&self, name: &str) -> Result<(), ClientError> {
        self.no_answer(Call::delete(&["v1", "whoami", "tokens", name])).await
    }

    /// Says which daemon answers. Needs no token.
    ///
    /// # Errors
    ///
    /// Only if none answers.
    pub async fn version(&self) -> Result<ServerVersion, ClientError> {
        self.answer(Call::get(&["v1", "version"])).await
    }

    /// Says whether the daemon can serve. Needs no token.
    ///
    /// # Errors
    ///
    /// Only if none answers, or it cannot.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.answer(Call::get(&["healthz"])).await
    }
}
