//! Webhooks are made, changed, looked at and deleted.

use domain::webhook::Direction;
use domain::{WebhookId, WebhookName, WebhookState};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Value,
};
use secrecy::{ExposeSecret, SecretString};
use tracing::instrument;

use crate::entity::webhooks::{Column, Entity, Model};
use crate::listing::MAX_LIMIT;
use crate::sql::statement;
use crate::store::timed;
use crate::{Page, Store, StoreError, Webhook};

const KEEP_SECRET: &str = "insert into webhook_secrets (webhook_id, secret) values ($1, $2)";
const SECRET: &str = "select secret from webhook_secrets where webhook_id = $1";

impl Store {
    /// Whether it is new: `false` when there is one of that name. What is kept of the secret is the
    /// caller's to decide.
    #[instrument(name = "db.webhooks.create", skip_all, fields(webhook = %webhook.spec.name))]
    pub async fn create_webhook(&self, webhook: &Webhook, secret: &SecretString) -> Result<bool, StoreError> {
        let _time = timed("create_webhook");
        let tx = self.begin().await?;
        let row = Model::of(webhook)?.into_active_model().reset_all();
        let inserted = Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(&tx)
            .await?;
        if inserted == 0 {
            return Ok(false);
        }
        let values: [Value; 2] = [webhook.id.0.into(), secret.expose_secret().into()];
        tx.execute_raw(statement(&tx, KEEP_SECRET, values)).await?;
        tx.commit().await?;
        self.reactions_have_changed();
        Ok(true)
    }

    /// Writes a webhook that was read before and changed; its revision grows. `false`: it has changed
    /// meanwhile, or is gone, and nothing was written.
    #[instrument(name = "db.webhooks.save", skip_all, fields(webhook = %webhook.spec.name))]
    pub async fn save_webhook(&self, webhook: &Webhook) -> Result<bool, StoreError> {
        let _time = timed("save_webhook");
        let mut row = Model::of(webhook)?;
        let read = row.revision;
        row.revision += 1;
        let saved = Entity::update_many()
            .set(row.into_active_model().reset_all())
            .filter(Column::Id.eq(webhook.id.0))
            .filter(Column::Revision.eq(read))
            .exec(self.writer())
            .await?;
        self.reactions_have_changed();
        Ok(saved.rows_affected > 0)
    }

    #[instrument(name = "db.webhooks.get", skip_all)]
    pub async fn webhook(&self, name: &WebhookName) -> Result<Option<Webhook>, StoreError> {
        let _time = timed("webhook");
        let row = Entity::find().filter(Column::NameKey.eq(name.key())).one(self.reader()).await?;
        row.as_ref().map(Webhook::try_from).transpose()
    }

    /// What was kept of its secret.
    #[instrument(level = "debug", name = "db.webhooks.secret", skip_all, fields(webhook = %id))]
    pub async fn webhook_secret(&self, id: WebhookId) -> Result<Option<SecretString>, StoreError> {
        let _time = timed("webhook_secret");
        let db = self.reader();
        let row = db.query_one_raw(statement(db, SECRET, [id.0.into()])).await?;
        let secret: Option<String> = row.map(|row| row.try_get("", "secret")).transpose()?;
        Ok(secret.map(SecretString::from))
    }

    /// By name.
    #[instrument(name = "db.webhooks.list", skip_all)]
    pub async fn webhooks(
        &self,
        direction: Option<Direction>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Webhook>, StoreError> {
        let _time = timed("webhooks");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = Entity::find();
        if let Some(direction) = direction {
            select = select.filter(Column::Direction.eq(direction.as_str()));
        }
        if let Some(cursor) = cursor {
            let after: WebhookName = cursor.parse().map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::NameKey.gt(after.key()));
        }
        let rows =
            select.order_by_asc(Column::NameKey).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items = rows.iter().take(limit as usize).map(Webhook::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.spec.name.key());
        Ok(Page { items, next })
    }

    /// Every webhook that is on. One row that cannot be read must not stop the rest.
    #[instrument(level = "debug", name = "db.webhooks.enabled", skip_all)]
    pub async fn enabled_webhooks(&self, direction: Direction) -> Result<Vec<Webhook>, StoreError> {
        let _time = timed("enabled_webhooks");
        let rows = Entity::find()
            .filter(Column::State.eq(WebhookState::Enabled.as_str()))
            .filter(Column::Direction.eq(direction.as_str()))
            .order_by_asc(Column::Id)
            .all(self.reader())
            .await?;
        let readable = rows.iter().filter_map(|row| match Webhook::try_from(row) {
            Ok(webhook) => Some(webhook),
            Err(error) => {
                tracing::error!(webhook = row.name, %error, "a webhook cannot be read and is passed over");
                metrics::counter!("farmhand_webhooks_unreadable_total").increment(1);
                None
            }
        });
        Ok(readable.collect())
    }

    /// With its secret and everything that was to be sent. Whether there was one.
    #[instrument(name = "db.webhooks.delete", skip_all, fields(webhook = %id))]
    pub async fn delete_webhook(&self, id: WebhookId) -> Result<bool, StoreError> {
        let _time = timed("delete_webhook");
        let tx = self.begin().await?;
        let deleted = Entity::delete_by_id(id.0).exec(&tx).await?.rows_affected > 0;
        for table in ["webhook_secrets", "webhook_deliveries", "webhook_receipts"] {
            let sql = format!("delete from {table} where webhook_id = $1");
            tx.execute_raw(statement(&tx, sql, [id.0.into()])).await?;
        }
        tx.commit().await?;
        self.reactions_have_changed();
        Ok(deleted)
    }
}
