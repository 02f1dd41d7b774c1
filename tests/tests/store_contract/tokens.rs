//! Who may call.

use std::collections::BTreeSet;

use domain::{Role, SystemRng, TokenId};
use futures::future::join_all;
use store::Token;

use crate::kit::*;

fn token(principal: &str, expires: Option<i64>) -> Token {
    Token {
        id: TokenId::new(at(0), &SystemRng),
        principal: principal.to_owned(),
        roles: BTreeSet::from([Role::Operator, Role::Viewer]),
        created_at: at(0),
        expires_at: expires.map(at),
        revoked_at: None,
        last_used_at: None,
    }
}

pub async fn a_token_is_known_until_it_expires_or_is_revoked(world: World) {
    let (lasting, short) = (token("ann", None), token("bob", Some(100)));
    world.store.create_token(&lasting, "hash-a").await.expect("created");
    world.store.create_token(&short, "hash-b").await.expect("created");
    assert!(world.store.create_token(&token("eve", None), "hash-a").await.is_err(), "a hash names one token");
    let find = async |hash: &str, seconds: i64| {
        world.store.token_by_hash(hash, at(seconds)).await.expect("an answer").map(|token| token.id)
    };
    assert_eq!((find("hash-a", 1).await, find("hash-b", 99).await), (Some(lasting.id), Some(short.id)));
    assert_eq!((find("hash-b", 100).await, find("hash-x", 1).await), (None, None));
    let found = world.store.token_by_hash("hash-a", at(1)).await.expect("an answer").expect("a token");
    assert_eq!(found, Token { last_used_at: Some(at(1)), ..lasting.clone() });
    assert!(world.store.revoke_token(lasting.id, at(50)).await.expect("an answer"));
    assert!(!world.store.revoke_token(lasting.id, at(60)).await.expect("an answer"), "once");
    assert_eq!(find("hash-a", 51).await, None);
    let listed = world.store.tokens().await.expect("a list");
    let revoked = listed.iter().find(|token| token.id == lasting.id).expect("kept for the record");
    assert_eq!((listed.len(), revoked.revoked_at), (2, Some(at(50))));
}

pub async fn use_is_noted_once_a_minute(world: World) {
    let token = token("ann", None);
    world.store.create_token(&token, "hash").await.expect("created");
    for (seconds, noted) in [(10, 10), (11, 10), (69, 10), (70, 70), (71, 70)] {
        world.store.token_by_hash("hash", at(seconds)).await.expect("an answer").expect("a token");
        let listed = world.store.tokens().await.expect("a list");
        assert_eq!(listed[0].last_used_at, Some(at(noted)), "at {seconds}");
    }
}

pub async fn there_is_one_first_token(world: World) {
    assert!(!world.store.any_token().await.expect("an answer"));
    let tokens: Vec<_> = (0..10).map(|n| (token("admin", None), format!("hash-{n}"))).collect();
    let created =
        join_all(tokens.iter().map(|(token, hash)| world.store.create_first_token(token, hash))).await;
    let created = created.into_iter().filter(|created| *created.as_ref().expect("an answer")).count();
    assert_eq!((created, world.rows("tokens").await), (1, 1));
    let listed = world.store.tokens().await.expect("a list");
    world.store.revoke_token(listed[0].id, at(1)).await.expect("revoked");
    assert!(world.store.any_token().await.expect("an answer"));
    let late = world.store.create_first_token(&token("eve", None), "late").await.expect("an answer");
    assert!(!late, "a revoked token was the first all the same");
}
