//! The schema is this program's, or the program does not start.

use store::{SchemaStatus, StoreError};

use crate::kit::*;

pub async fn an_empty_database_is_behind_and_refused(world: World) {
    assert_eq!(world.store.schema_status().await.expect("a status"), SchemaStatus::Current);
    world.store.require_current_schema().await.expect("current");
    world.store.ping().await.expect("an answer");
    let migrations = world.store.migrations().await.expect("a list");
    assert!(!migrations.is_empty() && migrations.iter().all(|(_, applied)| *applied));
    world.store.execute_raw("drop table seaql_migrations").await.expect("dropped");
    let pending: Vec<_> = migrations.into_iter().map(|(name, _)| name).collect();
    let status = world.store.schema_status().await.expect("a status");
    assert_eq!(status, SchemaStatus::Behind { pending });
    let error = world.store.require_current_schema().await.expect_err("refused");
    assert!(matches!(&error, StoreError::Schema { hint: "farmhand migrate up", .. }), "{error}");
    assert!(!error.is_passing());
}

pub async fn a_newer_database_is_refused(world: World) {
    let newer = "insert into seaql_migrations (version, applied_at) values ('m29990101_000001_later', 0)";
    world.store.execute_raw(newer).await.expect("written");
    let found = vec!["m29990101_000001_later".to_owned()];
    let status = world.store.schema_status().await.expect("a status");
    assert_eq!(status, SchemaStatus::Unknown { found });
    for refused in [
        world.store.require_current_schema().await,
        world.store.migrate_up().await,
        world.store.migrate_down(1).await,
    ] {
        let error = refused.expect_err("refused");
        assert!(error.to_string().contains("m29990101_000001_later"), "{error}");
    }
    world.check(0).await;
    assert_eq!(world.rows("workflows").await, 1, "nothing was touched");
}

pub async fn up_down_and_up_again(world: World) {
    let steps = u32::try_from(world.store.migrations().await.expect("a list").len()).expect("few");
    world.check(0).await;
    world.store.migrate_down(steps).await.expect("down");
    assert!(matches!(world.store.schema_status().await, Ok(SchemaStatus::Behind { .. })));
    let left = if world.is_postgresql() {
        "select tablename::text from pg_tables where schemaname = 'public'"
    } else {
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
    };
    assert_eq!(world.store.texts(left).await.expect("names"), ["seaql_migrations"]);
    world.store.migrate_up().await.expect("up");
    world.store.require_current_schema().await.expect("current");
    let id = world.check(1).await;
    let claimed = world.claimed(id, 2).await;
    world.finish(&claimed, 3).await;
    world.store.migrate_up().await.expect("nothing to do");
    assert_eq!(world.rows("workflows").await, 1);
}

pub async fn two_that_migrate_at_once_do_not_clash(world: World) {
    let steps = u32::try_from(world.store.migrations().await.expect("a list").len()).expect("few");
    world.store.migrate_down(steps).await.expect("down");
    let other = world.another_store().await;
    let (one, two) = futures::join!(world.store.migrate_up(), other.migrate_up());
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    world.store.require_current_schema().await.expect("current");
}
