//! `farmhand migrate up|down|status`.

use serde_json::json;
use store::Store;

use crate::cli::Migrate;
use crate::compose::data_dir;
use crate::compose::store::Database;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output::{Output, render, table};

pub async fn run(settings: Settings, command: Migrate, output: Output) -> Result<Exit, Failure> {
    let database = Database::of(&settings)?;
    // A running `up` would meet tables that change under it.
    let _lock = if database.is_embedded { Some(data_dir::take(&settings.data_dir)?) } else { None };
    let store = database.open(1).await?;
    let failed = |error| database.failure(&error);
    match command {
        Migrate::Up => store.migrate_up().await.map_err(failed)?,
        Migrate::Down { steps } => store.migrate_down(steps).await.map_err(failed)?,
        Migrate::Status => {}
    }
    let answer = status(&store, &database, output).await;
    store.close().await;
    answer
}

async fn status(store: &Store, database: &Database, output: Output) -> Result<Exit, Failure> {
    let migrations = store.migrations().await.map_err(|error| database.failure(&error))?;
    let current = migrations.iter().all(|(_, applied)| *applied);
    let items: Vec<_> =
        migrations.iter().map(|(name, applied)| json!({ "name": name, "applied": applied })).collect();
    let document = json!({ "database": database.shown, "current": current, "migrations": items });
    output.answer(&document, || {
        let mut table = table(&["migration", "applied"]);
        for (name, applied) in &migrations {
            table.add_row([name.as_str(), if *applied { "yes" } else { "no" }]);
        }
        let verdict = if current { "current" } else { "behind: run `farmhand migrate up`" };
        format!("{}\n{}: {verdict}", render(&table), database.shown)
    })?;
    Ok(Exit::Done)
}
