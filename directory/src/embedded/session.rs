//! One connection: who is logged in, which pages are open, and an answer to every request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ldap3_proto::LdapResultCode;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapAddRequest, LdapBindCred, LdapBindRequest, LdapBindResponse, LdapCompareRequest,
    LdapExtendedResponse, LdapModifyRequest, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult,
    LdapSearchRequest, LdapSearchResultReference, LdapSearchScope, OID_WHOAMI,
};
use tokio_util::sync::CancellationToken;

use super::draft::Context;
use super::engine::Engine;
use super::faults::{FaultKind, Faults, Operation};
use super::filter::Filter;
use super::forest::Changes;
use super::object::ObjectId;
use super::rejection::{Rejection, success};
use super::rights::Caller;
use super::search::{self, Query, Selection};
use super::wire::Request;
use super::{add, delete, modify, names, protocol, rename, rootdse};

/// MaxPageSize of the default query policy; Samba ignores it, Windows does not.
const MAX_PAGE: usize = 1000;
/// MaxResultSetsPerConn.
const MAX_OPEN_SEARCHES: usize = 10;

const DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";
const PERMISSIVE_MODIFY: &str = "1.2.840.113556.1.4.1413";

/// What to send, and whether the connection ends.
#[derive(Default)]
pub struct Answer {
    pub messages: Vec<LdapMsg>,
    pub close: bool,
}

/// A paged search between two pages: cookies are worth something on their connection only.
struct Page {
    rest: Vec<ObjectId>,
    /// The client's size limit cut the result.
    limited: bool,
}

pub struct Session {
    engine: Arc<Engine>,
    caller: Caller,
    /// A global catalogue: the whole forest, read only.
    catalog: bool,
    pages: HashMap<u64, Page>,
    next_cookie: u64,
    faults: Option<Faults>,
    stopping: CancellationToken,
}

impl Session {
    pub fn new(
        engine: Arc<Engine>,
        catalog: bool,
        faults: Option<Faults>,
        stopping: CancellationToken,
    ) -> Self {
        let pages = HashMap::new();
        Self { engine, caller: Caller::Anonymous, catalog, pages, next_cookie: 1, faults, stopping }
    }

    pub async fn answer(&mut self, request: Request) -> Answer {
        let fault = self.meet_fault(&request.message).await;
        let id = request.message.msgid;
        let refuse = |code: LdapResultCode, text: String| {
            let result = Rejection::new(code, text).into_result();
            protocol::reply_to(&request.message.op, result)
                .map(|op| LdapMsg::new(id, op))
                .into_iter()
                .collect()
        };
        match fault {
            Some(FaultKind::CutBeforeEffect) => Answer { messages: Vec::new(), close: true },
            Some(FaultKind::CutAfterEffect) => {
                self.carry_out(request).await;
                Answer { messages: Vec::new(), close: true }
            }
            Some(FaultKind::HangBeforeEffect) => self.hang().await,
            Some(FaultKind::HangAfterEffect) => {
                self.carry_out(request).await;
                self.hang().await
            }
            Some(FaultKind::Busy) => {
                let messages = refuse(LdapResultCode::Busy, "0000200E: the server is busy".to_owned());
                Answer { messages, close: false }
            }
            Some(FaultKind::Unavailable) => {
                let text = "0000200F: the server is not operational".to_owned();
                Answer { messages: refuse(LdapResultCode::Unavailable, text), close: false }
            }
            Some(FaultKind::Refuse(code, text)) => {
                let code = LdapResultCode::try_from(i64::from(code.0)).unwrap_or(LdapResultCode::Other);
                Answer { messages: refuse(code, text), close: false }
            }
            Some(FaultKind::Delay(_)) | None => self.carry_out(request).await,
        }
    }

    async fn hang(&self) -> Answer {
        if let Some(faults) = &self.faults {
            faults.hangs();
        }
        self.stopping.cancelled().await;
        Answer { messages: Vec::new(), close: true }
    }

    async fn meet_fault(&self, message: &LdapMsg) -> Option<FaultKind> {
        let faults = self.faults.as_ref()?;
        let (kind, dn) = protocol::operation(&message.op)?;
        let at = self.engine.clock.now();
        let (delay, fault) = faults.meet(Operation { kind, dn: dn.to_owned(), at });
        if delay > Duration::ZERO {
            // A stop need not wait for it.
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        fault
    }

    async fn carry_out(&mut self, request: Request) -> Answer {
        let Request { message: LdapMsg { msgid, op, ctrl }, filter } = request;
        if let Some(unknown) = ctrl.iter().find_map(protocol::unknown_critical) {
            let text = format!("00002024: Unsupported critical extension {unknown}");
            let refusal = Rejection::new(LdapResultCode::UnavailableCriticalExtension, text).into_result();
            let messages = protocol::reply_to(&op, refusal).map(|op| LdapMsg::new(msgid, op));
            return Answer { messages: messages.into_iter().collect(), close: false };
        }
        let reply = match op {
            LdapOp::UnbindRequest => return Answer { messages: Vec::new(), close: true },
            LdapOp::AbandonRequest(_) => return Answer::default(),
            LdapOp::SearchRequest(search) => {
                let filter = filter.unwrap_or_else(|| Filter::Present("objectClass".to_owned()));
                return Answer { messages: self.search(msgid, &search, &filter, &ctrl), close: false };
            }
            LdapOp::BindRequest(bind) => {
                let res = result(self.bind(&bind));
                LdapOp::BindResponse(LdapBindResponse { res, saslcreds: None })
            }
            LdapOp::AddRequest(add) => LdapOp::AddResponse(result(self.add(add).await)),
            LdapOp::ModifyRequest(modify) => {
                let lax = ctrl.iter().any(|control| protocol::oid(control) == PERMISSIVE_MODIFY);
                LdapOp::ModifyResponse(result(self.modify(modify, lax).await))
            }
            LdapOp::DelRequest(dn) => {
                let deleted = self.write(|context: &Context<'_>| delete::delete(context, &dn)).await;
                LdapOp::DelResponse(result(deleted))
            }
            LdapOp::ModifyDNRequest(request) => {
                let renamed = self.write(|context: &Context<'_>| rename::rename(context, &request)).await;
                LdapOp::ModifyDNResponse(result(renamed))
            }
            LdapOp::CompareRequest(request) => LdapOp::CompareResult(self.compare(&request)),
            LdapOp::ExtendedRequest(request) => self.extended(&request.name),
            // Only a server says these.
            _ => return Answer { messages: Vec::new(), close: true },
        };
        Answer { messages: vec![LdapMsg::new(msgid, reply)], close: false }
    }

    async fn add(&self, add: LdapAddRequest) -> Result<(), Rejection> {
        let given = add.attributes.into_iter().map(|LdapPartialAttribute { atype, vals }| (atype, vals));
        let given = given.collect();
        self.write(|context: &Context<'_>| add::add(context, &add.dn, given)).await
    }

    async fn modify(&self, request: LdapModifyRequest, lax: bool) -> Result<(), Rejection> {
        let LdapModifyRequest { dn, changes } = request;
        self.write(|context: &Context<'_>| modify::modify(context, &dn, &changes, lax)).await
    }

    fn compare(&self, request: &LdapCompareRequest) -> LdapResult {
        let LdapCompareRequest { dn, atype, val } = request;
        let forest = self.engine.forest();
        let same = self.logged_in().and_then(|()| search::compare(&forest, self.caller, dn, atype, val));
        match same {
            Ok(true) => LdapResult { code: LdapResultCode::CompareTrue, ..success() },
            Ok(false) => LdapResult { code: LdapResultCode::CompareFalse, ..success() },
            Err(rejection) => rejection.into_result(),
        }
    }

    fn logged_in(&self) -> Result<(), Rejection> {
        if self.caller != Caller::Anonymous {
            return Ok(());
        }
        let text = "00002020: Operation unavailable without authentication";
        Err(Rejection::new(LdapResultCode::OperationsError, text))
    }

    fn bind(&mut self, bind: &LdapBindRequest) -> Result<(), Rejection> {
        // A bind that fails leaves an anonymous session (RFC 4511, 4.2.1).
        self.caller = Caller::Anonymous;
        if bind.version != 3 {
            return Err(Rejection::new(LdapResultCode::ProtocolError, "only LDAP version 3 is spoken"));
        }
        match &bind.cred {
            LdapBindCred::Simple(password) if bind.dn.is_empty() && password.is_empty() => Ok(()),
            LdapBindCred::Simple(password) => {
                self.caller = self.engine.login(&bind.dn, password)?;
                Ok(())
            }
            _ => Err(Rejection::new(LdapResultCode::AuthMethodNotSupported, "only simple bind is spoken")),
        }
    }

    async fn write(
        &self,
        plan: impl FnOnce(&Context<'_>) -> Result<Changes, Rejection>,
    ) -> Result<(), Rejection> {
        self.logged_in()?;
        if self.catalog {
            return Err(Rejection::unwilling("00002035: modify forbidden on global catalog port"));
        }
        self.engine.write(self.caller, plan).await
    }

    fn extended(&self, name: &str) -> LdapOp {
        let answer = |res, value| LdapOp::ExtendedResponse(LdapExtendedResponse { res, name: None, value });
        if name != OID_WHOAMI {
            let text = format!("00002080: unknown extended operation {name}");
            return answer(Rejection::new(LdapResultCode::ProtocolError, text).into_result(), None);
        }
        let forest = self.engine.forest();
        let account = self.caller.account().and_then(|id| forest.get(id)?.text("sAMAccountName"));
        let who = account.map(|name| format!("u:{}\\{name}", names::NETBIOS)).unwrap_or_default();
        answer(success(), Some(who.into_bytes()))
    }

    fn search(
        &mut self,
        id: i32,
        search: &LdapSearchRequest,
        filter: &Filter,
        controls: &[LdapControl],
    ) -> Vec<LdapMsg> {
        if search.base.is_empty() && search.scope == LdapSearchScope::Base {
            let usn = self.engine.forest().counters.usn;
            let entry = rootdse::entry(&search.attrs, usn, self.engine.clock.now());
            let end = LdapMsg::new(id, LdapOp::SearchResultDone(success()));
            return vec![LdapMsg::new(id, LdapOp::SearchResultEntry(entry)), end];
        }
        match self.find(id, search, filter, controls) {
            Ok(messages) => messages,
            Err(rejection) => vec![LdapMsg::new(id, LdapOp::SearchResultDone(rejection.into_result()))],
        }
    }

    fn find(
        &mut self,
        id: i32,
        search: &LdapSearchRequest,
        filter: &Filter,
        controls: &[LdapControl],
    ) -> Result<Vec<LdapMsg>, Rejection> {
        self.logged_in()?;
        let paging = controls.iter().find_map(|control| match control {
            LdapControl::SimplePagedResults { size, cookie } => Some((*size, cookie.as_slice())),
            _ => None,
        });
        let Page { mut rest, limited } = self.open(search, filter, paging.map(|(_, cookie)| cookie))?;
        let selection =
            Selection::new(&search.attrs, search.typesonly, search.scope == LdapSearchScope::Base)?;

        let asked = paging.map_or(MAX_PAGE, |(size, _)| usize::try_from(size).unwrap_or(0));
        let later = rest.split_off(rest.len().min(asked.min(MAX_PAGE)));
        let engine = Arc::clone(&self.engine);
        let forest = engine.forest();
        // Between two pages an object may have gone.
        let entries = rest.iter().filter_map(|id| forest.get(*id));
        let entries = entries.map(|object| search::project(&forest, self.caller, object, &selection));
        let mut messages: Vec<_> =
            entries.map(|entry| LdapMsg::new(id, LdapOp::SearchResultEntry(entry))).collect();

        let mut end = LdapMsg::new(id, LdapOp::SearchResultDone(success()));
        let more = !later.is_empty();
        if paging.is_some() {
            // Asking for a page of none ends the search (RFC 2696).
            let cookie =
                if more && asked > 0 { self.keep(Page { rest: later, limited }) } else { Vec::new() };
            end.ctrl.push(LdapControl::SimplePagedResults { size: 0, cookie });
        }
        if !more && !controls.iter().any(|control| protocol::oid(control) == DOMAIN_SCOPE) {
            messages.extend(self.references(search).map(|op| LdapMsg::new(id, op)));
        }
        if limited && !more || paging.is_none() && more {
            let text = "00002023: the size limit was exceeded";
            let result = Rejection::new(LdapResultCode::SizeLimitExceeded, text).into_result();
            end.op = LdapOp::SearchResultDone(result);
        }
        messages.push(end);
        Ok(messages)
    }

    /// All objects of a new search, or what is left of one that a cookie goes on with.
    fn open(
        &mut self,
        search: &LdapSearchRequest,
        filter: &Filter,
        cookie: Option<&[u8]>,
    ) -> Result<Page, Rejection> {
        match cookie {
            Some(cookie) if !cookie.is_empty() => {
                let known =
                    cookie.try_into().ok().and_then(|bytes| self.pages.remove(&u64::from_le_bytes(bytes)));
                known
                    .ok_or_else(|| Rejection::unwilling("00002035: a cookie of no search on this connection"))
            }
            _ => {
                let query =
                    Query { base: &search.base, scope: &search.scope, filter, whole_forest: self.catalog };
                let mut rest = search::select(&self.engine.forest(), self.caller, &query)?;
                let limit = usize::try_from(search.sizelimit).unwrap_or(0);
                let limited = limit > 0 && rest.len() > limit;
                if limited {
                    rest.truncate(limit);
                }
                Ok(Page { rest, limited })
            }
        }
    }

    fn keep(&mut self, page: Page) -> Vec<u8> {
        if self.pages.len() >= MAX_OPEN_SEARCHES
            && let Some(oldest) = self.pages.keys().min().copied()
        {
            self.pages.remove(&oldest);
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.pages.insert(cookie, page);
        cookie.to_le_bytes().to_vec()
    }

    /// Naming contexts below the base, which another search must look into.
    fn references(&self, search: &LdapSearchRequest) -> impl Iterator<Item = LdapOp> + use<> {
        let below = [(names::DOMAIN, names::CONFIGURATION), (names::CONFIGURATION, names::SCHEMA)];
        let base = domain::Dn::parse(&search.base).ok();
        let deep = search.scope == LdapSearchScope::Subtree && !self.catalog;
        below
            .into_iter()
            .filter(move |(head, _)| deep && base.as_ref() == Some(&names::known(head)))
            .map(|(_, below)| format!("ldaps://{}/{below}", names::DNS_DOMAIN))
            .map(|uri| LdapOp::SearchResultReference(LdapSearchResultReference { uris: vec![uri] }))
    }
}

fn result(result: Result<(), Rejection>) -> LdapResult {
    result.map_or_else(Rejection::into_result, |()| success())
}
