//! What comes out of a statement.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Error, Row as _, TypeInfo as _};

/// A row of either engine.
#[derive(Debug)]
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// What stands in a column. Fails where there is none of that name, or where it holds something else.
    pub fn get<T: FromColumn>(&self, column: &str) -> Result<T, Error> {
        T::from_column(self, column)
    }
}

/// A type that [`Row::get`] gives.
pub trait FromColumn: Sized {
    fn from_column(row: &Row, column: &str) -> Result<Self, Error>;
}

macro_rules! same_in_both {
    ($($type:ty),*) => {
        $(impl FromColumn for $type {
            fn from_column(row: &Row, column: &str) -> Result<Self, Error> {
                match row {
                    Row::Sqlite(row) => row.try_get(column),
                    Row::Postgres(row) => row.try_get(column),
                }
            }
        })*
    };
}

same_in_both!(Option<String>, Option<Vec<u8>>);

/// SQLite would read nothing as an empty text, or as 0.
fn there<T>(value: Option<T>, column: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::ColumnDecode { index: column.into(), source: "nothing stands there".into() })
}

impl FromColumn for String {
    fn from_column(row: &Row, column: &str) -> Result<Self, Error> {
        there(Option::from_column(row, column)?, column)
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(row: &Row, column: &str) -> Result<Self, Error> {
        there(Option::from_column(row, column)?, column)
    }
}

impl FromColumn for Option<i64> {
    fn from_column(row: &Row, column: &str) -> Result<Self, Error> {
        match row {
            Row::Sqlite(row) => row.try_get(column),
            // Columns are BIGINT, but lengths, comparisons and the like are not.
            Row::Postgres(row) => match row.try_column(column)?.type_info().name() {
                "INT4" => row.try_get::<Option<i32>, _>(column).map(|value| value.map(i64::from)),
                "BOOL" => row.try_get::<Option<bool>, _>(column).map(|value| value.map(i64::from)),
                _ => row.try_get(column),
            },
        }
    }
}

impl FromColumn for i64 {
    fn from_column(row: &Row, column: &str) -> Result<Self, Error> {
        there(Option::from_column(row, column)?, column)
    }
}

impl FromColumn for bool {
    fn from_column(row: &Row, column: &str) -> Result<Self, Error> {
        i64::from_column(row, column).map(|value| value != 0)
    }
}
