//! A call of a webhook becomes an announcement, once.

use chrono::{DateTime, Utc};
use domain::{Announcement, WebhookId};
use sea_orm::{ConnectionTrait, Value};
use tracing::instrument;

use crate::sql::statement;
use crate::store::timed;
use crate::{Received, Store, StoreError};

const REMEMBER: &str = "insert into webhook_receipts (webhook_id, replay_key, event_id, received_at) \
    values ($1, $2, $3, $4) on conflict do nothing";
const REMEMBERED: &str = "select event_id from webhook_receipts where webhook_id = $1 and replay_key = $2";

impl Store {
    /// Announces what came in. A call with a key that was met before is the same call.
    #[instrument(name = "db.webhooks.receive", skip_all, fields(webhook = %webhook))]
    pub async fn receive(
        &self,
        webhook: WebhookId,
        replay_keys: &[String],
        announcement: &Announcement,
        now: DateTime<Utc>,
    ) -> Result<Received, StoreError> {
        let _time = timed("receive");
        let tx = self.begin().await?;
        let Some(id) = self.announce_one(&tx, announcement, now).await? else { return Ok(Received::Off) };
        for key in replay_keys {
            let values: [Value; 4] = [webhook.0.into(), key.as_str().into(), id.into(), now.into()];
            // A second one at the same time waits here for the first's end.
            if tx.execute_raw(statement(&tx, REMEMBER, values)).await?.rows_affected() == 0 {
                let row = tx
                    .query_one_raw(statement(&tx, REMEMBERED, [webhook.0.into(), key.as_str().into()]))
                    .await?;
                let row = row.ok_or_else(|| StoreError::Statement("a receipt is gone".into()))?;
                return Ok(Received::Replayed(row.try_get("", "event_id")?));
            }
        }
        tx.commit().await?;
        self.wake_announcer(true);
        Ok(Received::New(id))
    }
}
