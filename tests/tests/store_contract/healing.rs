//! A PostgreSQL that goes and comes back.

use futures::future::join_all;

use crate::kit::*;

/// What a restart does to those who were connected. Each dead connection may cost one call, which
/// says that it may be tried again; then the pool is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_heals_when_its_connections_are_cut() {
    let world = World::on_postgresql().await;
    let Database::Postgresql(database) = &world.database else { unreachable!("asked for above") };
    // As many connections as the pool may have.
    for result in join_all((0..8).map(|_| world.store.outbox_depth())).await {
        result.expect("an answer");
    }
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    tests::database::query(database.url(), cut).expect("cut");
    let mut failed = 0;
    while let Err(error) = world.store.submit(check(0), None).await {
        assert!(error.is_passing(), "{error:?}");
        failed += 1;
        assert!(failed <= 8, "one call for each dead connection at most");
    }
    for n in 0..20 {
        world.check(n).await;
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable_and_a_wrong_password_is_not_repeated() {
    let connect = async |url: &str| {
        let options = store::StoreOptions {
            url: url.into(),
            max_connections: 1,
            acquire_timeout: std::time::Duration::from_secs(5),
        };
        store::Store::connect(&options, std::sync::Arc::new(ShortEvents)).await.expect_err("no store")
    };
    // Port 1 is nobody's.
    let nobody = connect("postgres://postgres:s3cret@127.0.0.1:1/postgres").await;
    assert!(nobody.is_passing(), "{nobody:?}");
    for url in [
        "postgres://us er:s3cret@[::/x",
        "mysql://s3cret@localhost/x",
        "s3cret",
        "sqlite:///nowhere/at/all/s3cret",
    ] {
        let error = connect(url).await;
        assert!(!error.is_passing(), "{url}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("s3cret@"), "{error:?}");
    }
}
