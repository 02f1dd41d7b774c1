//! A search page by page, for those that find more than is good to hold at once.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use ldap3::Ldap;
use ldap3::controls::{ControlType, PagedResults};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::dc::{Failure, LdapDc, Query, SEARCH_PATIENCE, complete_ranges, one_answer};
use super::entries::RawEntry;
use super::observe::observe;
use super::pool::Lease;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::port::Search;

type Result<T> = std::result::Result<T, DirectoryError>;

/// What a DC sends in one answer at most (MaxPageSize), and so what takes the fewest.
const PAGE: i32 = 1000;

/// So many pages wait for the caller while the next one is read. With the one that he has in hand
/// and the one under way there are three at a time.
const AHEAD: usize = 1;

impl LdapDc {
    /// Nothing is sent before the first page is asked for. Who drops the stream ends the search
    /// with the page that is under way.
    pub(super) fn page_stream(&self, search: &Search) -> BoxStream<'static, Result<Vec<Entry>>> {
        let (dc, asked) = (self.clone(), self.asked(search));
        let pages = futures::stream::once(async move {
            let (sender, receiver) = mpsc::channel(AHEAD);
            let operation = asked.as_ref().map(|(operation, _)| operation.clone()).unwrap_or_default();
            let reader = dc.clone();
            let reading = async move {
                let read = match asked {
                    Ok((operation, query)) => reader.read_pages(&operation, query, &sender).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = read {
                    // Nobody listens any more: then nobody wants to know.
                    let _ = sender.send(Err(error)).await;
                }
            };
            tokio::spawn(reading.in_current_span());
            // Understood here and not by the reader, which has asked for the next page meanwhile.
            futures::stream::unfold((receiver, dc, operation), async |(mut receiver, dc, operation)| {
                let page = receiver.recv().await?.and_then(|page| dc.entries(&operation, page));
                Some((page, (receiver, dc, operation)))
            })
        });
        pages.flatten().boxed()
    }

    async fn read_pages(
        &self,
        operation: &str,
        query: Query,
        pages: &mpsc::Sender<Result<Vec<RawEntry>>>,
    ) -> Result<()> {
        // A cookie is worth something on its own connection only.
        let mut lease = self.pool.lease().await?;
        let mut cookie = Vec::new();
        loop {
            let reading = self.page(operation, &query, &mut lease, cookie);
            let (entries, next) = observe("search", &self.name, &query.base, reading).await?;
            if pages.send(Ok(entries)).await.is_err() || next.is_empty() {
                return Ok(());
            }
            cookie = next;
        }
    }

    /// The page at that cookie, and the cookie of the next.
    async fn page<'a>(
        &'a self,
        operation: &str,
        query: &Query,
        lease: &mut Lease<'a>,
        cookie: Vec<u8>,
    ) -> Result<(Vec<RawEntry>, Vec<u8>)> {
        let timeout = self.timeout();
        let mut again = cookie.is_empty();
        loop {
            let ldap = lease.connection.ldap.clone();
            let reading = one_page(ldap, query.clone(), cookie.clone(), timeout);
            let failure = match self.attempt(timeout * SEARCH_PATIENCE, true, reading).await {
                Ok(page) => return Ok(page),
                Err(failure) => failure,
            };
            // As with every read: a connection that had died unnoticed is nobody's fault. Behind the
            // first page there is no other connection to go on with.
            let dead = failure.is_dead();
            let kind = self.settle(failure, lease).await;
            if !(again && dead) {
                return Err(self.error(operation, kind));
            }
            *lease = self.pool.lease().await?;
            again = false;
        }
    }
}

async fn one_page(
    ldap: Ldap,
    query: Query,
    cookie: Vec<u8>,
    timeout: Duration,
) -> std::result::Result<(Vec<RawEntry>, Vec<u8>), Failure> {
    let mut asking = ldap.clone();
    asking.with_controls(PagedResults { size: PAGE, cookie });
    let (mut entries, end) = one_answer(asking, Vec::new(), query, timeout).await?;
    complete_ranges(&ldap, &mut entries, timeout).await?;
    let paging = end.ctrls.iter().find(|control| matches!(control.0, Some(ControlType::PagedResults)));
    // A server that does not page has sent all there is.
    let next = paging.map(|control| control.1.parse::<PagedResults>().cookie).unwrap_or_default();
    Ok((entries, next))
}
