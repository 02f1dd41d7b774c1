//! The directory on disk: one redb file, one durable transaction per write.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::forest::{Changes, Counters, Link};
use super::object::{Object, ObjectId};
use super::schema;

/// A file of another layout is refused, not guessed at.
const LAYOUT: u64 = 1;
/// Everything is in memory anyway; the cache serves the commits.
const CACHE_BYTES: usize = 4 << 20;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
type Attributes<'a> = Vec<(&'a str, Vec<&'a [u8]>)>;
/// id → parent (0: none), DN, attributes.
const OBJECTS: TableDefinition<u64, (u64, &str, Attributes<'static>)> = TableDefinition::new("objects");
/// (source, forward attribute, target).
const LINKS: TableDefinition<(u64, &str, u64), ()> = TableDefinition::new("links");

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path} is in use by another process")]
    InUse { path: String },
    #[error("{path} has layout {found}, this program reads layout {LAYOUT}")]
    Layout { path: String, found: u64 },
    #[error("{path} holds something that cannot be read: {what}")]
    Broken { path: String, what: String },
    #[error("cannot keep the embedded directory")]
    Redb(#[from] redb::Error),
}

#[derive(Debug)]
pub struct Store {
    database: Database,
    path: String,
}

/// What was on disk.
#[derive(Debug, Default)]
pub struct Loaded {
    pub objects: Vec<Object>,
    pub links: Vec<Link>,
    /// `None` where the file is new.
    pub counters: Option<Counters>,
}

fn any(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Redb(error.into())
}

impl Store {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        match database {
            Ok(database) => Ok(Self { database, path: shown }),
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(StoreError::InUse { path: shown }),
            Err(error) => Err(any(error)),
        }
    }

    pub fn load(&self) -> Result<Loaded, StoreError> {
        let transaction = self.database.begin_read().map_err(any)?;
        let meta = match transaction.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Loaded::default()),
            Err(error) => return Err(any(error)),
        };
        let number = |name: &str| -> Result<u64, StoreError> {
            let found = meta.get(name).map_err(any)?.map(|value| value.value());
            found.ok_or_else(|| self.broken(format!("no {name}")))
        };
        match number("layout")? {
            LAYOUT => {}
            found => return Err(StoreError::Layout { path: self.path.clone(), found }),
        }
        let counters = Counters {
            next_id: number("next_id")?,
            next_rid: number("next_rid")? as u32,
            usn: number("usn")?,
        };
        let mut loaded = Loaded { counters: Some(counters), ..Loaded::default() };
        let objects = transaction.open_table(OBJECTS).map_err(any)?;
        for row in objects.iter().map_err(any)? {
            let (id, value) = row.map_err(any)?;
            loaded.objects.push(self.object(id.value(), value.value())?);
        }
        let links = transaction.open_table(LINKS).map_err(any)?;
        for row in links.iter().map_err(any)? {
            let (key, _) = row.map_err(any)?;
            let (source, attribute, target) = key.value();
            loaded.links.push(Link { source, attribute: self.name(attribute)?, target });
        }
        Ok(loaded)
    }

    fn object(&self, id: ObjectId, row: (u64, &str, Attributes<'_>)) -> Result<Object, StoreError> {
        let (parent, dn, attributes) = row;
        let dn = domain::Dn::parse(dn).map_err(|error| self.broken(format!("{dn:?}: {error}")))?;
        let mut object = Object::new(id, (parent != 0).then_some(parent), dn);
        for (name, values) in attributes {
            object.set(self.name(name)?, values.into_iter().map(<[u8]>::to_vec).collect());
        }
        object.shrink();
        Ok(object)
    }

    fn name(&self, name: &str) -> Result<&'static str, StoreError> {
        schema::attribute(name)
            .map(|attribute| attribute.name)
            .ok_or_else(|| self.broken(format!("attribute {name:?}")))
    }

    fn broken(&self, what: String) -> StoreError {
        StoreError::Broken { path: self.path.clone(), what }
    }

    /// All of it or nothing, on disk when this returns.
    pub fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(any)?;
        {
            let mut meta = transaction.open_table(META).map_err(any)?;
            let Counters { next_id, next_rid, usn } = changes.counters;
            let numbers =
                [("layout", LAYOUT), ("next_id", next_id), ("next_rid", next_rid.into()), ("usn", usn)];
            for (name, number) in numbers {
                meta.insert(name, number).map_err(any)?;
            }
            let mut objects = transaction.open_table(OBJECTS).map_err(any)?;
            for id in &changes.remove {
                objects.remove(id).map_err(any)?;
            }
            for object in &changes.put {
                let attributes = object
                    .attributes()
                    .map(|(name, values)| (name, values.iter().map(Vec::as_slice).collect()))
                    .collect();
                let row = (object.parent.unwrap_or(0), object.dn.as_str(), attributes);
                objects.insert(object.id, row).map_err(any)?;
            }
            let mut links = transaction.open_table(LINKS).map_err(any)?;
            for Link { source, attribute, target } in &changes.unlink {
                links.remove((*source, *attribute, *target)).map_err(any)?;
            }
            for Link { source, attribute, target } in &changes.link {
                links.insert((*source, *attribute, *target), ()).map_err(any)?;
            }
        }
        transaction.commit().map_err(any)
    }
}
